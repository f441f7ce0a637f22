/** Connections to the OpenBao of the tests. */

import { readFileSync } from 'node:fs';
import { systemClock } from '../../src/domain/clock.ts';
import { openVault, type VaultClient } from '../../src/platform/keys/vault/client.ts';
import type { OpenBaoService } from '../../scripts/services/openbao.ts';

/** `orchestrator` has the rights of an orchestrator, by AppRole; `root` may do everything. The caller closes it. */
export async function connectTestVault(
  service: OpenBaoService,
  as: 'orchestrator' | 'root' = 'orchestrator',
): Promise<VaultClient> {
  return openVault({
    address: service.url,
    caPem: readFileSync(service.caPath, 'utf8'),
    auth:
      as === 'root'
        ? { kind: 'token', token: service.rootToken }
        : { kind: 'approle', roleId: service.roleId, secretId: await service.newSecretId() },
    clock: systemClock,
    random: Math.random,
    log: () => undefined,
  });
}
