/** A column of integers that grows: what is known of each of millions of attempts. */

/** Values within ±2^31. */
export class Column {
  #values = new Int32Array(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Adds a value; answers its row. */
  push(value: number): number {
    if (this.#length === this.#values.length) {
      const values = new Int32Array(this.#values.length * 2);
      values.set(this.#values);
      this.#values = values;
    }
    this.#values[this.#length] = value;
    return this.#length++;
  }

  /** The value of a row; −1 beyond the last. */
  get(row: number): number {
    return row < this.#length ? (this.#values[row] ?? -1) : -1;
  }

  /** Sets a row; rows between the last and this one get −1. */
  set(row: number, value: number): void {
    while (this.#length <= row) this.push(-1);
    this.#values[row] = value;
  }
}
