/** Payload checks by JSON Schema, and the targets that they find. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createParameterCompiler, type Parameters } from '../../src/tools/parameters.ts';

const compile = createParameterCompiler();

function object(properties: Record<string, unknown>, over: Record<string, unknown> = {}): Record<string, unknown> {
  return { type: 'object', additionalProperties: false, properties, ...over };
}

function compiled(schema: Record<string, unknown>): Parameters {
  const found = compile(schema);
  if ('problems' in found) throw new Error(JSON.stringify(found.problems));
  return found;
}

function problemsOf(schema: Record<string, unknown>): string[] {
  const found = compile(schema);
  return 'problems' in found ? found.problems.map(({ path }) => path) : [];
}

const host = { type: 'string', 'x-writ-target': 'host' };

describe('parameters', () => {
  it('tells every error of a payload with its dotted path', () => {
    const parameters = compiled(
      object({ a: { type: 'integer' }, list: { type: 'array', items: host } }, { required: ['b'] }),
    );
    expect(parameters.validate({ a: 'x', c: 1, list: ['ok', '0x7f.1'] }).map(({ path }) => path)).to.have.members([
      'a',
      'b',
      'c',
      'list.1',
    ]);
    expect(parameters.validate([])).to.have.length(1);
    expect(parameters.validate({ b: 1 })[0]?.path).to.equal('b');
  });

  it('refuses members that JavaScript gives a meaning', () => {
    const parameters = compiled(object({ a: {} }));
    for (const text of ['{"__proto__": {"a": 1}}', '{"constructor": 1}', '{"toString": 1}']) {
      expect(parameters.validate(JSON.parse(text)), text).to.have.length(1);
    }
  });

  it('looks at members of the payload only, not at what objects inherit', () => {
    expect(compiled(object({ toString: { type: 'string' } })).validate({})).to.deep.equal([]);
    expect(compiled(object({ toString: {} }, { required: ['toString'] })).validate({})).to.have.length(1);
  });

  it('finds targets wherever they are marked, each once', () => {
    const parameters = compiled(
      object(
        {
          host,
          urls: { type: 'array', items: { $ref: '#/$defs/place' } },
          pair: { type: 'array', prefixItems: [host], items: false, minItems: 1 },
          map: { type: 'object', additionalProperties: { type: 'string', 'x-writ-target': 'cidr' } },
          either: { oneOf: [{ type: 'integer' }, { type: 'string', 'x-writ-target': 'ip' }] },
        },
        {
          allOf: [{ properties: { host } }],
          $defs: { place: object({ url: { type: 'string', 'x-writ-target': 'url' } }) },
        },
      ),
    );
    const payload = {
      host: 'A.example',
      urls: [{ url: 'https://b.example/' }, { url: 'http://[::1]:81/' }],
      pair: ['c.example'],
      map: { 'x/y': '10.0.0.0/8' },
      either: '192.0.2.1',
    };
    expect(parameters.validate(payload)).to.deep.equal([]);
    const found = parameters
      .targets(payload)
      .map(({ kind, host: at, port, path }) => `${kind} ${at} ${port ?? '-'} ${path}`);
    expect(found).to.have.members([
      'host a.example - host',
      'url b.example 443 urls.0.url',
      'url ::1 81 urls.1.url',
      'host c.example - pair.0',
      'cidr 10.0.0.0 - map.x/y',
      'ip 192.0.2.1 - either',
    ]);
  });

  it('finds the targets of one payload only, whatever was asked before', () => {
    const parameters = compiled(object({ host }));
    expect(parameters.targets({ host: 'a.example' })).to.have.length(1);
    expect(parameters.targets({})).to.have.length(0);
    expect(parameters.validate({ host: 'b.example' })).to.deep.equal([]);
    expect(parameters.targets({ host: 'c.example' }).map(({ value }) => value)).to.deep.equal(['c.example']);
  });

  it('refuses marks where a valid payload could hide a target', () => {
    expect(problemsOf(object({ a: { anyOf: [host, {}] } }))).to.deep.equal(['properties.a.anyOf.0.x-writ-target']);
    expect(problemsOf(object({ a: { not: host } }))).to.have.length(1);
    expect(problemsOf(object({ a: { if: host } }))).to.have.length(1);
    expect(problemsOf(object({ a: { type: 'array', contains: host } }))).to.have.length(1);
    expect(problemsOf(object({ a: { anyOf: [{ $ref: '#/$defs/h' }] } }, { $defs: { h: host } }))).to.have.length(1);
  });

  it('refuses marks that would never be looked at', () => {
    expect(problemsOf(object({ a: { 'x-writ-target': 'host' } }))).to.have.length(1);
    expect(problemsOf(object({ a: { type: ['string', 'null'], 'x-writ-target': 'host' } }))).to.have.length(1);
    expect(problemsOf(object({ a: { type: 'string', 'x-writ-target': 'hostname' } }))).to.have.length(1);
    expect(problemsOf(object({ a: { type: 'string', 'x-writ-targets': 'host' } }))).to.have.length(1);
  });

  it('refuses schemas that are none, or that let unknown members pass', () => {
    for (const wrong of [
      {},
      { type: 'object' },
      { type: 'array', additionalProperties: false },
      object({ a: { type: 'strin' } }),
      object({ a: { type: 'string', pattern: '(' } }),
      object({ a: { type: 'string', format: 'uri' } }),
      object({ a: { $ref: 'https://example.com/schema' } }),
      object({}, { $id: 'x' }),
      object({}, { allOf: [{ $ref: '#' }] }),
      object({ a: { $ref: '#/properties/a' } }),
    ]) {
      expect(problemsOf(wrong), JSON.stringify(wrong)).not.to.deep.equal([]);
    }
  });

  it('compiles the same schema twice', () => {
    const schema = object({ host });
    expect(compiled(schema).marks).to.deep.equal(compiled(schema).marks);
  });
});
