/** Whether an object has no member. Costs no list of its names: it is asked for each task. */
export function isEmpty(object: object): boolean {
  for (const _ in object) return false;
  return true;
}
