// @ts-check
/** At most one dialog at a time, above the page, with its keys to itself. */
export class Modal {
  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    /** @type {HTMLDialogElement|undefined} */
    this.element = undefined;
  }

  get open() {
    return this.element !== undefined;
  }

  /** @param {HTMLDialogElement} element */
  show(element) {
    this.close();
    this.element = element;
    element.addEventListener("close", () => this.close());
    element.addEventListener("keydown", (event) => event.stopPropagation());
    this.root.append(element);
    element.showModal();
  }

  close() {
    const { element } = this;
    this.element = undefined;
    element?.remove();
  }
}
