/** What the command's exit status says. */

export const exitCodes = {
  ok: 0,
  /** A task that was waited for did not succeed; a bundle is tampered with; a catalog folder has mistakes; a node or a check of `writ doctor` failed. */
  bad: 1,
  /** The time was up before the end; a bundle is incomplete, pruned or not witnessed. */
  incomplete: 2,
  /** The call is wrong, or a file cannot be read or written. */
  usage: 3,
  /** The server refused. */
  refused: 4,
  /** No server, or one that cannot answer now. */
  unreachable: 5,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** For `--help`. */
export const exitHelp = `Exit codes:
  0  it worked
  1  a task that was waited for did not succeed; a bundle is tampered with; a catalog has mistakes; a node or a check of writ doctor failed
  2  the time was up first; a bundle is incomplete, pruned or not witnessed
  3  the call is wrong, or a file cannot be read or written
  4  the server refused (4xx)
  5  no server was reached, or it cannot answer now (5xx)`;
