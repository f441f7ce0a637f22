/** The catalog of tools. */

import type { Settings } from '../../settings/settings.ts';
import { installedCatalog } from '../installed.ts';
import { wordsOf, type Examination } from './finding.ts';

export async function examineTools(examination: Examination, settings: Settings): Promise<void> {
  try {
    const { tools } = await installedCatalog(settings);
    examination.ok('tools', `The catalog has ${tools.size.toString()} tools.`);
  } catch (error) {
    const message = wordsOf(error).split('\n').join(' ');
    examination.fail('tools', message, 'writ tools check FOLDER shows the same for one folder of TOOLS_PATH.');
  }
}
