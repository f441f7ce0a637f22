/** Which routing keys the bindings of an exchange meet. */

import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { Exchange, matchesTopic } from '../../../../src/platform/broker/in-process/exchange.ts';

/** The definition, without thought for cost. */
function matchesByDefinition(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return words.length === 0;
  if (first === '#') return [...words, ''].some((_, i) => matchesByDefinition(rest, words.slice(i)));
  return words.length > 0 && (first === '*' || first === words[0]) && matchesByDefinition(rest, words.slice(1));
}

describe('an exchange', () => {
  it('matches topics as defined', () => {
    const words = (...choices: string[]) => fc.array(fc.constantFrom(...choices), { maxLength: 6 });
    fc.assert(
      fc.property(words('a', 'b', '*', '#'), words('a', 'b'), (pattern, key) => {
        expect(matchesTopic(pattern.join('.'), key.join('.'))).to.equal(matchesByDefinition(pattern, key));
      }),
      { numRuns: 2000 },
    );
  });

  it('answers a hostile pattern quickly', () => {
    const startedAt = performance.now();
    expect(matchesTopic('#.a.'.repeat(40) + 'b', 'a.'.repeat(100) + 'c')).to.equal(false);
    expect(performance.now() - startedAt).to.be.below(100);
  });

  it('forgets the routes it found when bindings change', () => {
    const exchange = new Exchange<string>('topic');
    exchange.bind('one', 'a.#');
    expect(exchange.route('a.b')).to.deep.equal(['one']);
    exchange.bind('two', 'a.*');
    expect(exchange.route('a.b')).to.deep.equal(['one', 'two']);
    exchange.unbindAll('one');
    expect(exchange.route('a.b')).to.deep.equal(['two']);
  });
});
