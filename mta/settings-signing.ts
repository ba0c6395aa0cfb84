// Keys of the configuration for signatures: DKIM by the From domain, and the ARC seal. (rewriting.md §11)
import { parsed } from './settings-forms.ts'
import { fileOf, mailDomain } from './settings-parts.ts'
import { checked, list, required, section } from './settings-reader.ts'
import type { Form, Values } from './settings-reader.ts'

/** Which key: the same in the file and in what is pushed. */
export const keyNameSettings = {
  domain: required(mailDomain, 'The domain that signs (d=).'),
  selector: required(
    parsed('a selector: labels of letters, digits and `-`, dots between them', (written) => {
      const isSelector = written
        .split('.')
        .every((label) => /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(label))
      return isSelector && written.length <= 253 ? written.toLowerCase() : undefined
    }),
    'Under which its public key is published: `<selector>._domainkey.<domain>` (s=).',
  ),
}

const signingKeySettings = {
  ...keyNameSettings,
  key: required(
    fileOf('PEM: the private key, RSA of 2,048 bits or more, or Ed25519. Readable by the relay alone.'),
    'What it signs with.',
  ),
}
export type SigningKeyFile = Values<typeof signingKeySettings>

export const signingKey = section(signingKeySettings)

/** One key of each kind a domain: which kind a file holds shows when it is read. */
export const signingKeys: Form<readonly SigningKeyFile[]> = checked(list(signingKey), (values, place, reading) => {
  const seen = new Set<string>()
  for (const [index, { domain, selector }] of values.entries()) {
    const name = `${selector}._domainkey.${domain}`
    if (seen.has(name)) reading.faultWithin(place, [index, 'selector'], `${name} stands here twice`)
    seen.add(name)
  }
})
