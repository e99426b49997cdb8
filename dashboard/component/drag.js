// @ts-check
/**
 * Drag a panel to a place of the ranking, by mouse, pen or finger.
 *
 * Sources carry `data-drag` (the panel), targets `data-drop`: "into:GROUP", "before:GROUP" or "pool".
 */
const THRESHOLD = 6;

/**
 * @param {HTMLElement} root holds sources and targets
 * @param {(panel: number, drop: string) => void} onDrop
 * @returns {() => void} stop listening
 */
export function enableDrag(root, onDrop) {
  /** @type {{panel: number, x: number, y: number, ghost: HTMLElement|null, over: Element|null, id: number}|null} */
  let drag = null;
  const targetAt = (/** @type {PointerEvent} */ event) => {
    const scope = /** @type {ShadowRoot|Document} */ (root.getRootNode());
    return scope.elementFromPoint(event.clientX, event.clientY)?.closest("[data-drop]") || null;
  };

  const down = (/** @type {PointerEvent} */ event) => {
    const source = /** @type {HTMLElement} */ (event.target).closest?.("[data-drag]");
    if (!source || event.button !== 0 || /** @type {HTMLElement} */ (event.target).closest("[data-nodrag]")) return;
    const panel = Number(source.getAttribute("data-drag"));
    drag = { panel, x: event.clientX, y: event.clientY, ghost: null, over: null, id: event.pointerId };
  };

  const move = (/** @type {PointerEvent} */ event) => {
    if (!drag || event.pointerId !== drag.id) return;
    const far = Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > THRESHOLD;
    if (!drag.ghost && far) {
      drag.ghost = document.createElement("div");
      drag.ghost.className = "ghost";
      drag.ghost.textContent = String(drag.panel + 1);
      root.append(drag.ghost);
      root.classList.add("dragging");
    }
    if (!drag.ghost) return;
    event.preventDefault();
    drag.ghost.style.transform = `translate(${event.clientX - 20}px, ${event.clientY - 20}px)`;
    const over = targetAt(event);
    if (over !== drag.over) {
      drag.over?.classList.remove("over");
      over?.classList.add("over");
      drag.over = over;
    }
  };

  const up = (/** @type {PointerEvent} */ event) => {
    if (!drag || event.pointerId !== drag.id) return;
    const { ghost, panel, over } = drag;
    const target = event.type === "pointercancel" || !ghost ? null : targetAt(event);
    over?.classList.remove("over");
    ghost?.remove();
    root.classList.remove("dragging");
    drag = null;
    if (!ghost) return;
    swallowClick();
    if (target) onDrop(panel, target.getAttribute("data-drop") || "");
  };

  /** The click that ends a drag is no pick. */
  const swallowClick = () => {
    const stop = (/** @type {Event} */ event) => event.stopPropagation();
    root.addEventListener("click", stop, { capture: true, once: true });
    setTimeout(() => root.removeEventListener("click", stop, true), 0);
  };

  root.addEventListener("pointerdown", down);
  window.addEventListener("pointermove", move, { passive: false });
  window.addEventListener("pointerup", up);
  window.addEventListener("pointercancel", up);
  return () => {
    root.removeEventListener("pointerdown", down);
    window.removeEventListener("pointermove", move);
    window.removeEventListener("pointerup", up);
    window.removeEventListener("pointercancel", up);
  };
}
