import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { cutText, terminalJson, terminalLines, terminalText, textWidth } from '../../src/cli/terminal-text.ts';

const steering = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

describe('text from outside on a terminal', () => {
  it('shows what would steer the terminal instead of sending it', () => {
    const corpus: [string, string][] = [
      ['\u001b[31mred\u001b[0m', '\\u001b[31mred\\u001b[0m'],
      ['\u001b]0;title\u0007', '\\u001b]0;title\\u0007'],
      ['\u001b]8;;https://a\u001b\\link', '\\u001b]8;;https://a\\u001b\\link'],
      ['\u009b2J', '\\u009b2J'],
      ['a\rb', 'a\\u000db'],
      ['a\nb', 'a\\u000ab'],
      ['a\u0008b\u007f', 'a\\u0008b\\u007f'],
      ['user\u202efdp.exe', 'user\\u202efdp.exe'],
      ['\u2066a\u2069\u200f\u061c', '\\u2066a\\u2069\\u200f\\u061c'],
      ['a\u200bb\ufeff', 'a\\u200bb\\ufeff'],
      ['a\u2028b\u2029', 'a\\u2028b\\u2029'],
      ['\u{e0041}', '\\udb40\\udc41'],
      ['\ud800', '\\ud800'],
    ];
    for (const [text, shown] of corpus) expect(terminalText(text)).to.equal(shown);
  });

  it('leaves letters of all scripts, accents and emoji alone', () => {
    for (const text of ['grün', '日本語', 'עברית', 'e\u0301', '🙂', 'a\u00a0b'])
      expect(terminalText(text)).to.equal(text);
  });

  it('never lets anything through that steers', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !steering.test(terminalText(text))));
  });

  it('keeps the line feeds of longer text and nothing else of it', () => {
    expect(terminalLines('a\tb\r\nc\u001b[2J\n')).to.equal('a    b\nc\\u001b[2J\n');
  });

  it('writes JSON that means the same and steers nothing', () => {
    const value = { 'k\u202e': ['\u009b', '\u007f', '\u{e0041}', 'x\u001b'] };
    expect(steering.test(terminalJson(value))).to.equal(false);
    expect(JSON.parse(terminalJson(value))).to.deep.equal(value);
    fc.assert(
      fc.property(fc.jsonValue(), (any) => {
        const text = terminalJson(any);
        expect(JSON.parse(text)).to.deep.equal(JSON.parse(JSON.stringify(any)));
        expect(steering.test(text)).to.equal(false);
      }),
    );
  });

  it('counts columns as a terminal does', () => {
    expect(textWidth('abc')).to.equal(3);
    expect(textWidth('日本')).to.equal(4);
    expect(textWidth('e\u0301')).to.equal(1);
    expect(cutText('abcdef', 4)).to.equal('abc…');
    expect(cutText('日本語', 4)).to.equal('日…');
    expect(cutText('abcd', 4)).to.equal('abcd');
  });
});
