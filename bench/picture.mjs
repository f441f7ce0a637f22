/**
 * Draws a picture: reads `{kind: 'vega' | 'vega-lite', spec}` from standard input, writes SVG to standard output.
 *
 * Vega and Vega-Lite are packages of bench/package.json, which those who check Writ do not install: so this is a program of its own.
 */
import { text } from 'node:stream/consumers';
import { parse, View } from 'vega';
import { compile } from 'vega-lite';

const { kind, spec } = JSON.parse(await text(process.stdin));
const view = new View(parse(kind === 'vega' ? spec : compile(spec).spec), { renderer: 'none' });
process.stdout.write(await view.toSVG());
view.finalize();
