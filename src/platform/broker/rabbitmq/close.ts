/** Closes channels and connections without waiting for an answer that cannot come. */

const closeTimeoutMs = 2000;

interface Closable {
  close(): Promise<void>;
  once(event: 'close', listener: () => void): unknown;
}

/**
 * Closes a channel or a connection. Resolves too where it ended before the broker could answer: amqplib tells that by the event alone and
 * leaves the call open.
 */
export function closeQuietly(closable: Closable): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, closeTimeoutMs);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    closable.once('close', done);
    closable.close().then(done, done);
  });
}
