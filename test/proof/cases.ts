/** All logs and bundles that break one rule each. */

import { bundleCases } from './bundle-cases.ts';
import type { Case } from './case.ts';
import { orderCases } from './order-cases.ts';
import { recordCases } from './record-cases.ts';

export const cases: readonly Case[] = [...recordCases, ...orderCases, ...bundleCases];
