// Signing keys from their texts, faults told where an operator looks for them.
import { SettingsFault } from './settings-fault.ts'
import { DkimKeys, DkimKeysFault } from './sign/dkim-keys.ts'
import type { DkimKeyText } from './sign/dkim-keys.ts'

/**
 * @param placeOf  where the text of that index comes from
 * @throws SettingsFault; nothing of a key is in its text
 */
export function parseSigningKeys(texts: readonly DkimKeyText[], placeOf: (index: number) => string): DkimKeys {
  try {
    return DkimKeys.parse(texts)
  } catch (error) {
    if (!(error instanceof DkimKeysFault)) throw error
    throw new SettingsFault(
      error.faults.map(({ index, rule }) => ({ file: placeOf(index), path: '', value: '', rule })),
      { cause: error },
    )
  }
}
