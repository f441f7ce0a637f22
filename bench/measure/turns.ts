/** Runs systems in turn, so that what the machine does meanwhile hits them alike. */

import type { Row, Sample } from './outcome.ts';

/** A system under measure. While another one has its turn it has nothing to do. */
export interface Contender {
  name: string;
  isWrit: boolean;
  /** Long enough for the just-in-time compiler. */
  warmUp(): Promise<unknown>;
  run(): Promise<Sample>;
}

export interface Turns {
  rounds: number;
  /** Whether each system runs once before it is measured. */
  warmsUp: boolean;
  say: (text: string) => void;
  /** Called with a peer that failed: its row goes, the others stay. What fails of Writ fails all. */
  onPeerFailed: (name: string, error: unknown) => void;
}

/** Warms up each, then runs all of them once a round; sample `n` of every row is from the same round. */
export async function inTurn(contenders: readonly Contender[], turns: Turns): Promise<Row[]> {
  const rows = new Map(contenders.map((contender) => [contender, [] as Sample[]]));
  const step = async (contender: Contender, work: () => Promise<unknown>): Promise<void> => {
    if (!rows.has(contender)) return;
    try {
      await work();
    } catch (error) {
      if (contender.isWrit) throw error;
      rows.delete(contender);
      turns.onPeerFailed(contender.name, error);
    }
  };
  for (const contender of turns.warmsUp ? contenders : []) await step(contender, () => contender.warmUp());
  for (let round = 1; round <= turns.rounds; round++) {
    for (const contender of contenders) {
      await step(contender, async () => {
        const sample = await contender.run();
        rows.get(contender)?.push(sample);
        const [figure = '', value = 0] = Object.entries(sample.figures)[0] ?? [];
        turns.say(`round ${round} of ${turns.rounds}: ${contender.name}: ${Math.round(value)} ${figure}`);
      });
    }
  }
  return [...rows].map(([{ name, isWrit }, samples]) => ({ name, isWrit, samples }));
}
