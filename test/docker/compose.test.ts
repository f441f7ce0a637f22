import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { parse } from 'yaml';
import { definitions, loadSettings } from '../../src/settings/settings.ts';
import { makeScratchFolder } from '../support/scratch.ts';

interface Service {
  image: string;
  command?: string[];
  environment?: Record<string, string | number>;
  volumes?: string[];
  secrets?: string[];
  networks?: string[] | Record<string, { ipv4_address?: string }>;
  ports?: string[];
  depends_on?: Record<string, { condition: string }>;
  read_only?: boolean;
  privileged?: boolean;
  user?: string;
  restart?: string;
  cap_drop?: string[];
  cap_add?: string[];
  security_opt?: string[];
}

interface Compose {
  services: Record<string, Service>;
  networks: Record<string, unknown>;
  volumes: Record<string, unknown>;
  secrets: Record<string, { file: string }>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const compose = parse(read('docker/compose.yaml'), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const dockerfile = read('docker/Dockerfile');
const nginx = read('docker/nginx.conf');
const broker = `${read('rabbitmq/rabbitmq.conf')}\n${read('docker/rabbitmq.conf')}`;
const certificates = read('docker/set-up/certificates.sh');
const orchestrator = compose.services['orchestrator-1']!;
const environmentOf = ({ environment }: Service): [string, string][] =>
  Object.entries(environment ?? {}).map(([name, value]) => [name, String(value)]);
const portOf = (address: string): string => /:(\d+)$/.exec(address)![1]!;
const brokerSetting = (name: string): string =>
  [...broker.matchAll(/^([\w.]+) = (.+)$/gm)].findLast(([, key]) => key === name)?.[2] ?? '';

/** All variables by which a setting comes. */
const plain = new Set<string>();
const fromFile = new Set<string>();
for (const { env, ...definition } of Object.values(definitions)) {
  if ('isSecret' in definition && definition.isSecret) fromFile.add(`${env}_FILE`);
  else plain.add(env);
}
const client = new Set(['WRIT_URL', 'WRIT_TOKEN_FILE', 'WRIT_CACERT']);

describe('docker/compose.yaml', () => {
  it('names settings that there are, and secrets by their files alone', () => {
    const wrong = services
      .filter(([, { image }]) => image.startsWith('writ'))
      .flatMap(([service, one]) => environmentOf(one).map(([name]) => ({ service, name })))
      .filter(({ name }) => !plain.has(name) && !fromFile.has(name) && !client.has(name));
    expect(wrong).to.deep.equal([]);
  });

  it('gives settings values that are valid', () => {
    for (const service of ['init', 'orchestrator-1', 'node-1']) {
      const given = environmentOf(compose.services[service]!).map(([name, value]) =>
        fromFile.has(name) ? [name.slice(0, -'_FILE'.length), 'secret'] : [name, value],
      );
      const environment = Object.fromEntries(given) as Record<string, string>;
      expect(() => loadSettings({ environment }), service).not.to.throw();
    }
  });

  it('holds no secret: what sounds like one is the name of a file', () => {
    const wrong = services.flatMap(([service, one]) =>
      environmentOf(one)
        .filter(([name]) => /PASS|SECRET|TOKEN|CREDENTIAL|DATABASE_URL/.test(name))
        .filter(([name, value]) => !name.endsWith('_FILE') || !value.startsWith('/'))
        .map(([name]) => `${service}: ${name}`),
    );
    expect(wrong).to.deep.equal([]);
    expect(read('docker/compose.yaml')).not.to.match(/\$\{|\/\/[^/\s:]+:[^/\s@]+@|writ_(pat|svc|join)_/);
  });

  it('takes every secret from a file that secrets.sh makes, and uses each', () => {
    const made = [...read('docker/secrets.sh').matchAll(/\| keep (\w+)$/gm)].map(([, name]) => name);
    expect(Object.keys(compose.secrets).sort()).to.deep.equal(made.sort());
    for (const [name, { file }] of Object.entries(compose.secrets)) expect(file).to.equal(`./secrets/${name}`);
    const used = services.flatMap(([, { secrets = [] }]) => secrets);
    expect([...new Set(used)].sort()).to.deep.equal(made);
  });

  it('mounts files that there are, and volumes, networks and services that it declares', () => {
    for (const [service, one] of services) {
      for (const volume of one.volumes ?? []) {
        const [source = ''] = volume.split(':');
        const isThere = source.startsWith('.') ? existsSync(join(root, 'docker', source)) : source in compose.volumes;
        expect(isThere, `${service}: ${volume}`).to.equal(true);
      }
      const networks = Array.isArray(one.networks) ? one.networks : Object.keys(one.networks ?? {});
      expect(Object.keys(compose.networks), service).to.include.members(networks);
      expect(Object.keys(compose.services), service).to.include.members(Object.keys(one.depends_on ?? {}));
    }
    const used = services.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(':')[0]));
    expect(Object.keys(compose.volumes).filter((name) => !used.includes(name))).to.deep.equal([]);
  });

  it('names files in settings that lie in what is mounted there', () => {
    const missing = services.flatMap(([service, one]) => {
      const targets = (one.volumes ?? []).map((volume) => volume.split(':')[1] ?? '');
      const secrets = (one.secrets ?? []).map((name) => `/run/secrets/${name}`);
      return environmentOf(one)
        .filter(([, value]) => value.startsWith('/'))
        .filter(([, value]) => ![...targets, ...secrets].some((at) => value === at || value.startsWith(`${at}/`)))
        .map(([name, value]) => `${service}: ${name}=${value}`);
    });
    expect(missing).to.deep.equal([]);
  });

  it('waits for what runs once to end well, and for nothing else of its kind', () => {
    for (const [service, { depends_on = {} }] of services) {
      for (const [on, { condition }] of Object.entries(depends_on)) {
        const isOnce = compose.services[on]?.restart === 'no';
        expect(condition === 'service_completed_successfully', `${service} on ${on}`).to.equal(isOnce);
      }
    }
  });

  it('pins every image by its version', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string };
    const images = services.map(([, { image }]) => image);
    const stages = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image = '']) => image);
    const own = new Set(['base']);
    for (const image of [...images, ...stages.filter((name) => !own.has(name))]) {
      expect(image).to.match(/:v?\d+\.\d+(\.\d+)?(-[a-z-]+)?$/);
      if (image.startsWith('writ')) expect(image.split(':')[1]).to.equal(version);
    }
    expect(stages, 'its command line is that of its server').to.include(compose.services['openbao']!.image);
  });

  it('confines what runs: no capabilities, no new privileges, no root but for the set-up, ports on loopback alone', () => {
    for (const [service, one] of services) {
      expect(one.privileged, service).to.equal(undefined);
      expect(one.cap_drop, service).to.deep.equal(['ALL']);
      expect(one.security_opt, service).to.deep.equal(['no-new-privileges:true']);
      if (service !== 'rabbitmq') expect(one.read_only, service).to.equal(true);
      const isSetUp = one.image.startsWith('writ-set-up:');
      expect(one.user === '0:0', service).to.equal(isSetUp);
      if (!isSetUp) expect(one.cap_add, service).to.equal(undefined);
      for (const port of one.ports ?? []) expect(port, service).to.match(/^127\.0\.0\.1:(\d+):\1$/);
    }
  });
});

describe('the containers', () => {
  const settings = Object.fromEntries(environmentOf(orchestrator)) as Record<string, string>;
  const upstream = (name: string): string[] =>
    [...new RegExp(`upstream ${name} \\{([^}]+)\\}`).exec(nginx)![1]!.matchAll(/server ([\d.:]+)/g)].map(
      ([, address]) => address!,
    );
  const addressOf = (service: string): string | undefined => {
    const { networks } = compose.services[service]!;
    return Array.isArray(networks) ? undefined : networks?.['proxy']?.ipv4_address;
  };

  it('find each other: nginx the orchestrators', () => {
    const addresses = ['orchestrator-1', 'orchestrator-2'].map(addressOf);
    expect(upstream('orchestrators')).to.deep.equal(
      addresses.map((address) => `${address!}:${portOf(settings['HTTP_LISTEN']!)}`),
    );
    expect(upstream('broker_auth')).to.deep.equal(
      addresses.map((address) => `${address!}:${portOf(settings['BROKER_AUTH_LISTEN']!)}`),
    );
    expect(settings['HTTP_TRUSTED_PROXIES']).to.equal(addressOf('nginx'));
  });

  it('find each other: nodes, command line and callers nginx', () => {
    const listens = [...nginx.matchAll(/^\s+listen (\d+) ssl;$/gm)].map(([, port]) => port);
    const { WRIT_URL } = compose.services['writ']!.environment!;
    const { ORCHESTRATOR_URL } = compose.services['node-1']!.environment!;
    expect(WRIT_URL).to.equal(ORCHESTRATOR_URL);
    const { hostname, port } = new URL(String(WRIT_URL));
    expect(hostname).to.equal('nginx');
    expect(listens).to.include(port);
    expect(compose.services['nginx']!.ports).to.deep.equal([`127.0.0.1:${port}:${port}`]);
  });

  it('find each other: orchestrators RabbitMQ, and RabbitMQ them by nginx', () => {
    expect(new URL(settings['RABBITMQ_URL']!).port).to.equal(brokerSetting('listeners.ssl.default'));
    expect(compose.services['rabbitmq']!.ports).to.deep.equal([
      `127.0.0.1:${brokerSetting('listeners.ssl.default')}:${brokerSetting('listeners.ssl.default')}`,
    ]);
    for (const what of ['user', 'vhost', 'resource', 'topic']) {
      const { protocol, hostname, port, pathname } = new URL(brokerSetting(`auth_http.${what}_path`));
      expect([protocol, hostname, pathname]).to.deep.equal(['https:', 'nginx', `/rabbitmq/${what}`]);
      expect(nginx).to.match(new RegExp(`^\\s+listen ${port} ssl;$`, 'm'));
    }
    expect(brokerSetting('auth_http.ssl_options.verify')).to.equal('verify_peer');
  });

  it('find each other: Prometheus the orchestrators and RabbitMQ', () => {
    const { scrape_configs: jobs } = parse(read('docker/prometheus.yml')) as {
      scrape_configs: { scheme: string; static_configs: { targets: string[] }[] }[];
    };
    const port = portOf(settings['METRICS_LISTEN']!);
    expect(jobs.flatMap((job) => job.static_configs.flatMap(({ targets }) => targets))).to.deep.equal([
      `orchestrator-1:${port}`,
      `orchestrator-2:${port}`,
      `rabbitmq:${brokerSetting('prometheus.ssl.port')}`,
    ]);
    expect(jobs.map(({ scheme }) => scheme)).to.deep.equal(['https', 'https']);
  });

  it('have certificates for the names by which they are called', () => {
    const named = new Map<string, string>(
      [...certificates.matchAll(/^issue \S+ (\S+) server \S+ serverAuth (\S+)$/gm)].map(([, volume, names]) => [
        volume!,
        names!,
      ]),
    );
    const hosts: [string, string][] = [
      ['nginx', 'nginx'],
      ['nginx', 'localhost'],
      ['postgres', 'postgres'],
      ['rabbitmq', new URL(settings['RABBITMQ_URL']!).hostname],
      ['openbao', new URL(settings['VAULT_ADDR']!).hostname],
      ['orchestrator', /proxy_ssl_name (\S+);/.exec(nginx)![1]!],
      ['orchestrator', 'orchestrator-1'],
      ['orchestrator', 'orchestrator-2'],
    ];
    for (const [volume, host] of hosts) expect(named.get(volume)?.split(','), host).to.include(`DNS:${host}`);
    expect(read('docker/secrets.sh')).to.include('@postgres:5432/writ?sslmode=verify-full');
  });
});

describe('docker/Dockerfile', () => {
  it('copies files that there are and that reach the build', () => {
    const allowed = read('docker/Dockerfile.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources]) =>
      sources!.split(' '),
    );
    expect(copied).to.include.members(['src', 'migrations', 'tools']);
    for (const source of copied) {
      expect(existsSync(join(root, source)), source).to.equal(true);
      expect(
        allowed.some((path) => source === path || source.startsWith(`${path}/`)),
        source,
      ).to.equal(true);
    }
    expect(allowed.filter((path) => !existsSync(join(root, path)))).to.deep.equal([]);
  });

  it('ends as a user without rights, with a Node that Writ runs on', () => {
    const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
    const versions = new Set([...dockerfile.matchAll(/^FROM node:([\d.]+)/gm)].map(([, version]) => version));
    expect(versions.size).to.equal(1);
    expect(Number.parseInt([...versions][0]!)).to.be.greaterThan(Number.parseInt(engines.node.slice(2)));
    const stages = dockerfile.split(/^FROM /m);
    expect(stages.at(-1)).to.match(/^base AS runtime\nUSER node\n/);
    expect(dockerfile).to.include('npm ci --omit=dev --omit=optional');
  });
});

describe('docker/grafana', () => {
  /** Of RabbitMQ's plugin rabbitmq_prometheus. */
  const ofRabbitMq = new Set([
    'rabbitmq_connections',
    'rabbitmq_disk_space_available_bytes',
    'rabbitmq_process_resident_memory_bytes',
    'rabbitmq_queue_messages_ready',
    'rabbitmq_queue_messages_unacked',
  ]);

  it('shows metrics that there are, and every metric that there is', () => {
    const ofWrit = [...read('docs/metrics.md').matchAll(/^\| `(writ_\w+)` \| (\w+)/gm)].flatMap(([, name, type]) =>
      type === 'histogram' ? [`${name!}_bucket`] : [name!],
    );
    const { panels } = JSON.parse(read('docker/grafana/dashboards/writ.json')) as {
      panels: { datasource?: { uid: string }; targets?: { expr: string }[] }[];
    };
    const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    const shown = new Set(expressions.flatMap((expression) => expression.match(/\b(writ|rabbitmq)_\w+/g) ?? []));
    expect([...shown].filter((name) => !ofWrit.includes(name) && !ofRabbitMq.has(name))).to.deep.equal([]);
    expect(ofWrit.filter((name) => !shown.has(name))).to.deep.equal(['writ_build_info']);
    const { datasources } = parse(read('docker/grafana/provisioning/datasources/prometheus.yaml')) as {
      datasources: { uid: string }[];
    };
    for (const { datasource, targets } of panels) {
      if (targets !== undefined) expect(datasource?.uid).to.equal(datasources[0]!.uid);
    }
  });
});

describe('the scripts of docker/', () => {
  let folder: string;

  before(async () => {
    folder = await makeScratchFolder('writ-docker-');
  });

  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  const run = (script: string, environment: Record<string, string> = {}): string => {
    const { status, stdout, stderr } = spawnSync('bash', [script], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], ...environment },
    });
    expect(status, stderr).to.equal(0);
    return stdout;
  };
  const contents = (dir: string): Map<string, string> =>
    new Map(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'latin1')]));

  it('make each secret once, in a folder of their owner', () => {
    cpSync(join(root, 'docker/secrets.sh'), join(folder, 'secrets.sh'));
    const script = join(folder, 'secrets.sh');
    const dir = join(folder, 'secrets');
    expect(run(script).split('\n').length - 1).to.equal(Object.keys(compose.secrets).length);
    const made = contents(dir);
    expect([...made.keys()].sort()).to.deep.equal(Object.keys(compose.secrets).sort());
    expect(statSync(dir).mode & 0o777).to.equal(0o700);
    expect(made.get('openbao_seal_key')).to.have.length(32);
    expect(made.get('database_url')).to.include(`:${made.get('postgres_password')!}@`);
    expect(run(script)).to.equal('');
    expect(contents(dir)).to.deep.equal(made);
  });

  it('make certificates that their authority signed, once, each key for its owner', function () {
    if (spawnSync('openssl', ['version']).status !== 0) this.skip();
    this.timeout(60_000);
    const volumes = join(folder, 'volumes');
    const mounted = compose.services['certificates']!.volumes!.map((volume) => volume.split(':')[1]!);
    for (const target of mounted.filter((path) => path.startsWith('/volumes/'))) {
      mkdirSync(join(volumes, target.slice('/volumes/'.length)), { recursive: true });
    }
    const script = join(root, 'docker/set-up/certificates.sh');
    run(script, { VOLUMES: volumes });
    const issued = [...certificates.matchAll(/^issue \S+ (\S+) (\S+) /gm)].map(
      ([, volume, name]) => `${volume!}/${name!}`,
    );
    expect(issued).to.have.length(7);
    for (const name of issued) {
      const verified = spawnSync('openssl', [
        'verify',
        '-CAfile',
        join(volumes, 'trust/ca.pem'),
        join(volumes, `${name}.pem`),
      ]);
      expect(verified.status, name).to.equal(0);
      expect(statSync(join(volumes, `${name}.key`)).mode & 0o777, name).to.equal(0o400);
    }
    const before = contents(join(volumes, 'nginx'));
    expect(run(script, { VOLUMES: volumes })).to.equal('');
    expect(contents(join(volumes, 'nginx'))).to.deep.equal(before);
  });
});
