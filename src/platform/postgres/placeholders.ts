/** Parameters of statements by number. */

/** `$first, $first+1, …`: so many. */
export function placeholders(first: number, count: number): string {
  return Array.from({ length: count }, (_, i) => `$${(first + i).toString()}`).join(', ');
}
