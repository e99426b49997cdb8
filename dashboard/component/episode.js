// @ts-check
/** One episode, in the open: the Rank page's charts, with dates. */
import { ChartBoard } from "./charts.js";
import { decodeQuery } from "./codec.js";
import { themeColours, watchTheme } from "./theme.js";

/** @type {WeakMap<object, {board: ChartBoard, stop: () => void}>} */
const shown = new WeakMap();

/** Called by Streamlit on every run of the page.
 * @param {{parentElement: ParentNode, data: {payload: import("./codec.js").Payload}}} component */
export function mount({ parentElement, data }) {
  const host = /** @type {HTMLElement} */ (parentElement.querySelector(".episode"));
  const query = decodeQuery(data.payload);
  let entry = shown.get(host);
  if (!entry) {
    const board = new ChartBoard([host], themeColours(host));
    const stop = watchTheme(host, () => board.recolour(themeColours(host)));
    entry = { board, stop };
    shown.set(host, entry);
  }
  entry.board.show(query);
  return () => {
    shown.get(host)?.stop();
    shown.get(host)?.board.destroy();
    shown.delete(host);
  };
}
