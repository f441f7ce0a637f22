/** Named members that take turns. */

/** `next` goes round the members in the order of their arrival. */
export class Ring<T> {
  readonly #byName = new Map<string, T>();
  readonly #members: T[] = [];
  #at = 0;

  get size(): number {
    return this.#members.length;
  }

  /** The member whose turn it is; undefined where there is none. */
  next(): T | undefined {
    if (this.#at >= this.#members.length) this.#at = 0;
    return this.#members[this.#at++];
  }

  getOrAdd(name: string, make: () => T): T {
    let member = this.#byName.get(name);
    if (member === undefined) {
      member = make();
      this.#byName.set(name, member);
      this.#members.push(member);
    }
    return member;
  }

  clear(): void {
    this.#byName.clear();
    this.#members.length = 0;
  }
}
