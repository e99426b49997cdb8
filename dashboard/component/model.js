// @ts-check
/**
 * The ranking being made: pure functions over plain values, no DOM.
 *
 * @typedef {object} Draft
 * @property {number} size K panels, numbered from 0.
 * @property {number[][]} groups best first; panels of one group are tied.
 * @property {number[]} picks placed panels in the order in which they were placed.
 * @property {boolean} tie the next pick joins the last group.
 * @property {(number|null)[]} ratings 1 to 5 per panel, or null.
 */

/** @param {number} size @returns {Draft} */
export function emptyDraft(size) {
  return { size, groups: [], picks: [], tie: false, ratings: Array(size).fill(null) };
}

/** @param {Draft} draft @param {number} panel */
export const isPlaced = (draft, panel) => draft.picks.includes(panel);

/** @param {Draft} draft @returns {number[]} */
export function unplaced(draft) {
  return Array.from({ length: draft.size }, (_, panel) => panel).filter((p) => !isPlaced(draft, p));
}

/** Place a panel after the others, or beside the last group when a tie was asked for.
 * @param {Draft} draft @param {number} panel @returns {Draft} */
export function pick(draft, panel) {
  if (panel < 0 || panel >= draft.size || isPlaced(draft, panel)) return draft;
  const groups = draft.groups.map((group) => [...group]);
  if (draft.tie && groups.length) groups[groups.length - 1].push(panel);
  else groups.push([panel]);
  return { ...draft, groups, picks: [...draft.picks, panel], tie: false };
}

/** The "=" key: the next pick ties with the last; once all are placed, the last two groups tie.
 * @param {Draft} draft @returns {Draft} */
export function tie(draft) {
  if (!draft.groups.length) return draft;
  if (draft.picks.length < draft.size) return { ...draft, tie: !draft.tie };
  if (draft.groups.length < 2) return draft;
  const groups = draft.groups.slice(0, -2);
  return { ...draft, groups: [...groups, draft.groups.slice(-2).flat()] };
}

/** Take one panel out again. @param {Draft} draft @param {number} panel @returns {Draft} */
export function remove(draft, panel) {
  const groups = draft.groups.map((group) => group.filter((p) => p !== panel));
  return {
    ...draft,
    groups: groups.filter((group) => group.length),
    picks: draft.picks.filter((p) => p !== panel),
    tie: false,
  };
}

/** The Backspace key: forget a pending tie, else the last pick. @param {Draft} draft @returns {Draft} */
export function back(draft) {
  if (draft.tie) return { ...draft, tie: false };
  return draft.picks.length ? remove(draft, draft.picks[draft.picks.length - 1]) : draft;
}

/** Drop a panel at a place of the ranking.
 * @param {Draft} draft @param {number} panel
 * @param {number} group index into `groups` as they are before the move
 * @param {"into"|"before"} where tie with that group, or a rank of its own in front of it
 * @returns {Draft} */
export function place(draft, panel, group, where) {
  const alone = draft.groups[group]?.length === 1 && draft.groups[group][0] === panel;
  if (alone) return draft;
  const marked = draft.groups.map((members) => members.filter((p) => p !== panel));
  if (where === "into" && group < marked.length) marked[group].push(panel);
  else marked.splice(group, 0, [panel]);
  return {
    ...draft,
    groups: marked.filter((members) => members.length),
    picks: [...draft.picks.filter((p) => p !== panel), panel],
    tie: false,
  };
}

/** Place the only panel left, if just one is left. @param {Draft} draft @returns {Draft} */
export function complete(draft) {
  const rest = unplaced(draft);
  return rest.length === 1 && draft.size > 1 ? pick(draft, rest[0]) : draft;
}

/** "All bad": the worst rating for each, and those without a rank tied behind the others.
 * @param {Draft} draft @returns {Draft} */
export function allBad(draft) {
  const rest = unplaced(draft);
  const groups = rest.length ? [...draft.groups, rest] : draft.groups;
  return { ...draft, groups, picks: [...draft.picks, ...rest], tie: false, ratings: draft.ratings.map(() => 1) };
}

/** Whether the trader has begun. @param {Draft} draft */
export const isBegun = (draft) => draft.picks.length > 0 || draft.ratings.some((value) => value !== null);

/** @param {Draft} draft @param {number} panel @param {number|null} value @returns {Draft} */
export function rate(draft, panel, value) {
  const ratings = draft.ratings.map((old, p) => (p !== panel ? old : old === value ? null : value));
  return { ...draft, ratings };
}

/** Rank of each panel, 1 = best, equal = tie; 0 where not placed. @param {Draft} draft */
export function ranks(draft) {
  const result = Array(draft.size).fill(0);
  draft.groups.forEach((group, i) => group.forEach((panel) => (result[panel] = i + 1)));
  return result;
}

/** A draft that shows given ranks again. @param {number[]} given @param {(number|null)[]} ratings
 * @returns {Draft} */
export function fromRanks(given, ratings) {
  const draft = emptyDraft(given.length);
  const levels = [...new Set(given.filter((r) => r > 0))].sort((a, b) => a - b);
  const groups = levels.map((level) => given.flatMap((r, panel) => (r === level ? [panel] : [])));
  return { ...draft, groups, picks: groups.flat(), ratings: ratings.length ? [...ratings] : draft.ratings };
}

/** "1st", "2nd", "3rd". @param {number} rank */
export function ordinal(rank) {
  const ending = ["th", "st", "nd", "rd"][rank % 10 > 3 || Math.floor(rank / 10) % 10 === 1 ? 0 : rank % 10];
  return `${rank}${ending}`;
}
