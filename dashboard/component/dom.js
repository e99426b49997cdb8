// @ts-check
/**
 * Build an element. User text only ever becomes text nodes, never HTML.
 * @param {string} tag
 * @param {Record<string, unknown>} [properties] `on...` adds a listener; the rest are attributes,
 *   left out when null or false
 * @param {...(Node|string|null|false|undefined)} children
 * @returns {any} the element (its type depends on `tag`)
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {any} */ (value));
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== false && child !== undefined));
  return element;
}

/** A random key: submit keys, session names. */
export function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether a key press belongs to a field or control rather than to the page's shortcuts.
 * @param {KeyboardEvent} event */
export function typing(event) {
  const target = /** @type {HTMLElement} */ (event.composedPath()[0]);
  return target.isContentEditable === true || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName || "");
}

/** @param {Element} element @param {string} name a property or a custom property */
export function cssValue(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

/** A custom property's colour as `rgb(...)`, whatever CSS wrote it with: the charts parse only that.
 * @param {Element} element @param {string} name */
export function cssColour(element, name) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = cssValue(element, name);
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return `rgb(${red}, ${green}, ${blue})`;
}
