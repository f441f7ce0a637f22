/** Bytes in the form that Node.js has most functions for. */

/** A Buffer over the same memory: what changes in one changes in the other. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
