/** Makes text from outside harmless on a terminal: what would steer it is shown instead of sent. */

/**
 * Control characters (escape sequences, carriage returns, line feeds), format characters (direction overrides, invisible
 * ones), line and paragraph separators and lone surrogates.
 */
const steering = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** One line of text, safe to write: `ESC` reads `\u001b`, a line feed `\u000a`, U+202E `\u202e`. */
export function terminalText(text: string): string {
  return text.replace(steering, escapeCharacter);
}

/** The same for text of several lines: line feeds stay, tabs become spaces. */
export function terminalLines(text: string): string {
  return text
    .split('\n')
    .map((line) => terminalText(line.replaceAll('\t', '    ').replace(/\r$/, '')))
    .join('\n');
}

/** One line of JSON that means what `value` means and holds nothing that steers a terminal. */
export function terminalJson(value: unknown): string {
  return ((JSON.stringify(value) as string | undefined) ?? 'null').replace(steering, escapeCharacter);
}

function escapeCharacter(character: string): string {
  let escaped = '';
  for (let i = 0; i < character.length; i += 1) {
    escaped += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`;
  }
  return escaped;
}

const wide =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff01-\uff60]/u;
const narrowOnly = /^[\x20-\x7e]*$/;

/** Columns that a safe text takes. */
export function textWidth(text: string): number {
  if (narrowOnly.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += /\p{M}/u.test(character) ? 0 : wide.test(character) ? 2 : 1;
  return width;
}

/** A safe text cut to so many columns, with `…` where something is missing. */
export function cutText(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  let cut = '';
  let width = 1;
  for (const character of text) {
    width += textWidth(character);
    if (width > columns) break;
    cut += character;
  }
  return `${cut}…`;
}
