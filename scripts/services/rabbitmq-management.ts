/** The calls of RabbitMQ's management API that its services are used through. */
import type { VhostDefinitions } from './rabbitmq-files.ts';

export interface RabbitMqManagement {
  /** Makes it with the rights and policies of the virtual host `/`. */
  createVhost(name: string, options?: VhostOptions): Promise<void>;
  deleteVhost(name: string): Promise<void>;
  /** Severs those of one user, or all. */
  closeConnections(user?: string): Promise<void>;
}

export interface VhostOptions {
  /** `writ-orchestrator` may do everything in it: for tests with names of their own. Default false. */
  anyName?: boolean;
}

export interface ManagementOptions {
  url: string;
  user: string;
  password: string;
  definitions: VhostDefinitions;
}

export function rabbitMqManagement({ url, user, password, definitions }: ManagementOptions): RabbitMqManagement {
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

  async function call(method: string, path: string[], body?: object): Promise<unknown> {
    const target = `${url}/api/${path.map(encodeURIComponent).join('/')}`;
    const response = await fetch(target, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`RabbitMQ answers ${method} /${path.join('/')} with ${response.status}: ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  return {
    createVhost: async (name, { anyName = false } = {}) => {
      await call('PUT', ['vhosts', name], {});
      for (const { user: holder, vhost: _, ...rights } of definitions.permissions) {
        const all = anyName && holder === 'writ-orchestrator';
        await call('PUT', ['permissions', name, holder], all ? { configure: '.*', write: '.*', read: '.*' } : rights);
      }
      for (const { name: policy, vhost: _, ...rest } of definitions.policies) {
        await call('PUT', ['policies', name, policy], rest);
      }
    },
    deleteVhost: async (name) => {
      await call('DELETE', ['vhosts', name]);
    },
    closeConnections: async (only) => {
      const users = only === undefined ? await connectedUsers() : [only];
      for (const name of users) await call('DELETE', ['connections', 'username', name]);
    },
  };

  async function connectedUsers(): Promise<string[]> {
    const connections = (await call('GET', ['connections'])) as { user: string }[];
    const known = definitions.permissions.map((permission) => permission.user);
    return [...new Set([...known, ...connections.map((connection) => connection.user)])];
  }
}
