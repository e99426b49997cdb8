"use strict";
const root = document.documentElement;
document.querySelector("button[data-toggle]").addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
for (const figure of document.querySelectorAll("figure[data-hover]")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const svg = figure.querySelector("svg.chart");
  const cursor = svg.querySelector(".cursor");
  const tip = figure.querySelector(".tip");
  const hide = () => { cursor.style.visibility = tip.style.visibility = "hidden"; };
  figure.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    let low = 0, high = data.x.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (data.x[middle] <= x) low = middle; else high = middle;
    }
    const i = x - data.x[low] < data.x[high] - x ? low : high;
    cursor.setAttribute("x1", data.x[i]);
    cursor.setAttribute("x2", data.x[i]);
    tip.textContent = [data.labels[i], ...data.series.map((s) => `${s.name}  ${s.values[i]}`)].join("\n");
    cursor.style.visibility = tip.style.visibility = "visible";
    const at = (data.x[i] / svg.viewBox.baseVal.width) * box.width;
    const left = at + 14 + tip.offsetWidth > box.width ? at - 14 - tip.offsetWidth : at + 14;
    tip.style.left = `${Math.max(0, left)}px`;
  });
}
