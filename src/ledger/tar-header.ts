/** The header of one file in a tar: plain ustar. */

/** Headers are one block, and files are filled up to whole ones. */
export const tarBlockBytes = 512;
/** Sizes from here on do not fit eleven octal digits: they are written in binary, as GNU and POSIX tars both read them. */
const octalEnd = 8 ** 11;

/** POSIX.1-1988 §10.1.1: the header of a regular file. */
export function formatTarHeader(name: string, size: number, modified: Date): Buffer {
  const block = Buffer.alloc(tarBlockBytes);
  block.write(name, 0, 100, 'ascii');
  block.write('0000644\0', 100, 'ascii');
  block.write('0000000\0', 108, 'ascii');
  block.write('0000000\0', 116, 'ascii');
  writeSize(block, size);
  block.write(`${octal(Math.floor(modified.getTime() / 1000), 11)}\0`, 136, 'ascii');
  block.write('        0', 148, 'ascii');
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, 'ascii');
  return block;
}

function writeSize(block: Buffer, size: number): void {
  if (size < octalEnd) {
    block.write(`${octal(size, 11)}\0`, 124, 'ascii');
    return;
  }
  block[124] = 0x80;
  block.writeBigUInt64BE(BigInt(size), 128);
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}
