/** Which node may take how much. */

import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Placement, type NodeFacts } from '../../src/schedule/placement.ts';
import type { Requirement } from '../../src/tasks/requirements.ts';
import type { Catalog, CatalogTool } from '../../src/tools/catalog.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const otherDigest = `sha256:${'b'.repeat(64)}`;

function node(id: string, facts: Partial<NodeFacts> = {}): NodeFacts {
  return { node_id: id, slots: 4, labels: {}, capabilities: { noop: digest }, ...facts };
}

/** Requirement 1 is the tool alone, 2 asks for a zone too, 3 is of a tool that is not in the catalog. */
function setup(nodes: readonly NodeFacts[] = []): Placement {
  const tool: CatalogTool = { tool: 'noop', version: '1', description: '', digest, actions: new Map() };
  const catalog: Catalog = { tools: new Map([['noop', tool]]), find: () => undefined };
  const requirements: Requirement[] = [
    { requirement: 1, tool: 'noop', tool_digest: digest, constraints: {} },
    { requirement: 2, tool: 'noop', tool_digest: digest, constraints: { zone: 'east' } },
    { requirement: 3, tool: 'gone', tool_digest: digest, constraints: {} },
  ];
  const placement = new Placement({
    catalog,
    findRequirement: (number) => requirements.find(({ requirement }) => requirement === number),
  });
  placement.setNodes(nodes);
  return placement;
}

function creditOf(placement: Placement, nodeId: string): number {
  return placement.free().find((free) => free.nodeId === nodeId)?.credit ?? 0;
}

describe('placement', () => {
  it('gives a new node as much as it has slots, and nothing when they are taken', () => {
    const placement = setup([node('a')]);
    expect(creditOf(placement, 'a')).to.equal(4);
    placement.dispatched('a', 3);
    expect(creditOf(placement, 'a')).to.equal(1);
    placement.dispatched('a', 1);
    expect(placement.free()).to.deep.equal([]);
    placement.finished('a', 2);
    expect(creditOf(placement, 'a')).to.equal(2);
  });

  it('names the least loaded first, by its own slots', () => {
    const placement = setup([node('a', { slots: 4 }), node('b', { slots: 10 }), node('c')]);
    placement.dispatched('a', 2);
    placement.dispatched('b', 3);
    expect(placement.free().map(({ nodeId }) => nodeId)).to.deep.equal(['c', 'b', 'a']);
  });

  it('gives a node without slots nothing', () => {
    expect(setup([node('a', { slots: 0 })]).free()).to.deep.equal([]);
  });

  it('gives a fast node ahead what it finishes in about 50 ms, and no more than 2,500', () => {
    const placement = setup([node('a')]);
    placement.dispatched('a', 100);
    placement.finished('a', 100, 10);
    expect(creditOf(placement, 'a')).to.equal(4 + Math.floor(10 * 0.2 * 50));
    for (let i = 0; i < 60; i++) placement.finished('a', 1000, 1);
    expect(creditOf(placement, 'a')).to.equal(2500);
  });

  it('lets the rate fall again where a node becomes slow, and leaves it where no time is told', () => {
    const placement = setup([node('a')]);
    placement.finished('a', 1000, 10);
    const fast = creditOf(placement, 'a');
    placement.finished('a', 5);
    expect(creditOf(placement, 'a')).to.equal(fast);
    for (let i = 0; i < 60; i++) placement.finished('a', 1, 60_000);
    expect(creditOf(placement, 'a')).to.equal(4);
  });

  it('never counts fewer than none in hand', () => {
    const placement = setup([node('a')]);
    placement.finished('a', 7);
    expect(creditOf(placement, 'a')).to.equal(4);
  });

  it('takes no notice of nodes that it does not know', () => {
    const placement = setup([node('a')]);
    placement.dispatched('b', 4);
    placement.finished('b', 1, 1);
    expect(placement.free().map(({ nodeId, credit }) => [nodeId, credit])).to.deep.equal([['a', 4]]);
    expect(placement.canRun('b', 1)).to.equal(false);
  });

  it('keeps count and rate of a node over setNodes, and forgets a node that is gone', () => {
    const placement = setup([node('a'), node('b')]);
    placement.dispatched('a', 4);
    placement.dispatched('b', 4);
    placement.finished('a', 1000, 10);
    placement.dispatched('a', 100);
    const before = creditOf(placement, 'a');
    placement.setNodes([node('a')]);
    expect(creditOf(placement, 'a')).to.equal(before);
    expect(placement.canRun('b', 1)).to.equal(false);
    placement.setNodes([node('a'), node('b')]);
    expect(creditOf(placement, 'b')).to.equal(4);
  });

  it('sets the count to what the database says, none for a node that it does not name', () => {
    const placement = setup([node('a'), node('b')]);
    placement.dispatched('a', 4);
    placement.dispatched('b', 4);
    placement.setNodes([node('a'), node('b')], new Map([['b', 3]]));
    expect(creditOf(placement, 'a')).to.equal(4);
    expect(creditOf(placement, 'b')).to.equal(1);
  });

  it('lets run what has the tool of the catalog and every label', () => {
    const placement = setup([
      node('plain'),
      node('east', { labels: { zone: 'east', more: 'x' } }),
      node('west', { labels: { zone: 'west' } }),
      node('old', { capabilities: { noop: otherDigest }, labels: { zone: 'east' } }),
      node('bare', { capabilities: {} }),
    ]);
    const runs = (requirement: number): string[] =>
      ['plain', 'east', 'west', 'old', 'bare'].filter((id) => placement.canRun(id, requirement));
    expect(runs(1)).to.deep.equal(['plain', 'east', 'west']);
    expect(runs(2)).to.deep.equal(['east']);
    expect(runs(3)).to.deep.equal([]);
    expect(runs(99)).to.deep.equal([]);
  });

  it('does not take a label for one that every object has', () => {
    const placement = setup([node('a', { capabilities: Object.create({ noop: digest }) as Record<string, string> })]);
    expect(placement.canRun('a', 1)).to.equal(false);
  });

  it('decides anew when a node tells something else of itself', () => {
    const placement = setup([node('a')]);
    expect(placement.canRun('a', 2)).to.equal(false);
    placement.setNodes([node('a', { labels: { zone: 'east' } })]);
    expect(placement.canRun('a', 2)).to.equal(true);
  });

  describe('with affinity', () => {
    const names = Array.from({ length: 400 }, (_, i) => `host-${i}`);
    const five = ['a', 'b', 'c', 'd', 'e'].map((id) => node(id));

    it('prefers only nodes that can run it', () => {
      const placement = setup([node('a'), node('b', { labels: { zone: 'east' } })]);
      for (const name of names.slice(0, 20)) expect(placement.preferred(name, 2)).to.equal('b');
      expect(placement.preferred('x', 3)).to.equal(undefined);
    });

    it('spreads over the nodes, in whatever order they are named', () => {
      const placement = setup(five);
      const reversed = setup([...five].reverse());
      const counts = new Map<string | undefined, number>();
      for (const name of names) {
        const preferred = placement.preferred(name, 1);
        expect(reversed.preferred(name, 1)).to.equal(preferred);
        counts.set(preferred, (counts.get(preferred) ?? 0) + 1);
      }
      expect([...counts.keys()].sort()).to.deep.equal(['a', 'b', 'c', 'd', 'e']);
      for (const count of counts.values()) expect(count).to.be.within(40, 120);
    });

    it('moves only what was on a node that goes, and only to a node that comes', () => {
      const placement = setup(five);
      const before = names.map((name) => placement.preferred(name, 1));
      placement.setNodes(five.filter(({ node_id }) => node_id !== 'c'));
      names.forEach((name, i) => {
        const now = placement.preferred(name, 1);
        if (before[i] !== 'c') expect(now).to.equal(before[i]);
        else expect(now).to.not.equal('c');
      });
      placement.setNodes([...five, node('f')]);
      const moved = names.filter((name, i) => placement.preferred(name, 1) !== before[i]);
      for (const name of moved) expect(placement.preferred(name, 1)).to.equal('f');
      expect(moved.length).to.be.within(1, 120);
    });
  });
});
