/** Installs what the benchmarks need and nothing else of Writ does: packages of the peers, Redis, and the real parts of Writ. */
import { installPackages, installPeers, installPrograms } from '../scripts/prepare.mjs';

const missing = installPrograms();
if (missing.length > 0) {
  console.error(
    `bench: ${missing.map(({ name }) => name).join(' and ')} must be installed first: Writ runs on it here`,
  );
  process.exit(1);
}
try {
  installPackages('bench');
} catch (error) {
  console.error(`bench: ${error.message}; the peers are skipped`);
}
for (const { name, needed } of installPeers()) {
  console.error(`bench: ${name} is not there and cannot be installed; ${needed} is skipped`);
}
