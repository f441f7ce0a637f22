/** An exchange of the in-process broker: which bindings a routing key meets. */

/** Routes that were found are kept up to this many, then found again: routing keys come from outside. */
const routesMax = 4096;

/** Routes to `T`; a queue that several bindings name gets one copy, as in AMQP. */
export class Exchange<T> {
  readonly type: 'topic' | 'direct';
  readonly #patterns = new Map<T, Set<string>>();
  readonly #routes = new Map<string, readonly T[]>();

  constructor(type: 'topic' | 'direct') {
    this.type = type;
  }

  /** Binding twice is binding once. */
  bind(queue: T, pattern: string): void {
    const patterns = this.#patterns.get(queue) ?? new Set();
    this.#patterns.set(queue, patterns.add(pattern));
    this.#routes.clear();
  }

  unbindAll(queue: T): void {
    if (this.#patterns.delete(queue)) this.#routes.clear();
  }

  route(routingKey: string): readonly T[] {
    const known = this.#routes.get(routingKey);
    if (known !== undefined) return known;
    const found: T[] = [];
    for (const [queue, patterns] of this.#patterns) {
      if (this.#matches(patterns, routingKey)) found.push(queue);
    }
    if (this.#routes.size >= routesMax) this.#routes.clear();
    this.#routes.set(routingKey, found);
    return found;
  }

  #matches(patterns: ReadonlySet<string>, routingKey: string): boolean {
    if (this.type === 'direct') return patterns.has(routingKey);
    for (const pattern of patterns) if (matchesTopic(pattern, routingKey)) return true;
    return false;
  }
}

/**
 * AMQP 0-9-1 §3.1.3.3: words are separated by dots, `*` stands for one word, `#` for any number of words. Linear in
 * the usual case and at most the product of both lengths: on a mismatch only the last `#` takes one word more.
 */
export function matchesTopic(pattern: string, routingKey: string): boolean {
  const wanted = splitWords(pattern);
  const words = splitWords(routingKey);
  let at = 0;
  let retryAt = -1;
  let retryFrom = 0;
  let i = 0;
  while (i < words.length) {
    if (wanted[at] === '#') {
      retryAt = ++at;
      retryFrom = i;
    } else if (at < wanted.length && (wanted[at] === '*' || wanted[at] === words[i])) {
      at++;
      i++;
    } else if (retryAt !== -1) {
      at = retryAt;
      i = ++retryFrom;
    } else {
      return false;
    }
  }
  while (wanted[at] === '#') at++;
  return at === wanted.length;
}

/** No text is no word, not one empty word. */
function splitWords(text: string): string[] {
  return text === '' ? [] : text.split('.');
}
