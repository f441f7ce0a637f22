/** Pages of the documents: HTML without scripts, with nothing from outside, everything escaped. */

import { sha256 } from '../../proof/hash.ts';

const style = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; background: #f3f4f6; border-radius: 4px; }
code { padding: 0 0.25em; } pre { padding: 0.75rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 0.5rem 0; }
td, th { border: 1px solid #d1d5db; padding: 0.25rem 0.5rem; text-align: left; vertical-align: top; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #d1d5db; } h3 { margin-top: 1.5rem; }
:target { background: #fef9c3; } a { color: #1d4ed8; }
@media (prefers-color-scheme: dark) {
  body { color: #e5e7eb; background: #111827; } code, pre { background: #1f2937; } a { color: #93c5fd; }
  td, th, h2 { border-color: #374151; } :target { background: #422006; }
}
`;

/** Lets the page's own style sheet in, by its hash, and nothing else. */
export const pagePolicy = [
  "default-src 'none'",
  `style-src 'sha256-${sha256(style).toString('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** A whole page. `content` is HTML that is escaped already. */
export function page(title: string, content: string): Buffer {
  return Buffer.from(
    `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)}</title><style>${style}</style></head>
<body>${content}</body>
</html>
`,
  );
}

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => escapes[character] ?? '');
}
