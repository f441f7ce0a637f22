/** Progress of long work: a bar on a terminal, nothing elsewhere. */

export interface Progress {
  update: (done: number, total?: number) => void;
  /** Takes the bar away. */
  stop: () => void;
}

/** What a bar is drawn on. */
export interface ProgressTarget {
  stderr: NodeJS.WritableStream & { isTTY?: boolean | undefined };
  /** Whether machines read the output. */
  json: boolean;
}

/** A bar on stderr that names what is done; `total` 0 where nobody knows it yet. */
export async function startProgress(target: ProgressTarget, label: string, total: number): Promise<Progress> {
  if (target.json || target.stderr.isTTY !== true) return { update: () => {}, stop: () => {} };
  const { SingleBar } = await import('cli-progress');
  const format = `${label} [{bar}] {percentage}% {value}/{total} {duration_formatted}`;
  const bar = new SingleBar({ format, stream: target.stderr, clearOnComplete: true, hideCursor: true, etaBuffer: 20 });
  bar.start(total, 0);
  return {
    update: (done, newTotal) => {
      if (newTotal !== undefined && newTotal !== bar.getTotal()) bar.setTotal(newTotal);
      bar.update(done);
    },
    stop: () => {
      bar.stop();
    },
  };
}
