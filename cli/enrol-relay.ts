// What `relay --enrol` leaves on the machine: a configuration that names the control plane, listeners and a spool, and the code beside it. Everything
// else is pushed. Run again, it keeps the configuration as it is by then, and shows the new code. (RC-1, product.md §8)
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { parseSettings } from '../mta/settings.ts'
import { UnusableFile, UsageError } from './command.ts'

export interface NewRelay {
  readonly url: string
  readonly code: string
  /** undefined: the host's name. */
  readonly name: string | undefined
  /** `ADDRESS:PORT`; at least one. */
  readonly listen: readonly string[]
  /** `ADDRESS:PORT` of /readyz and /metrics; undefined: none. */
  readonly monitor: string | undefined
  /** PEM of the authorities that the control plane's certificate may come from; undefined: the public ones. */
  readonly trust: string | undefined
  readonly directory: string
}

const CODE_FILE = 'enrolment-code'

/** @returns the configuration's file. @throws UsageError, UnusableFile, SettingsFault: what was asked for makes no configuration */
export function writeNewRelay(relay: NewRelay): string {
  if (!/^[\x21-\x7e]{1,512}$/.test(relay.code)) throw new UsageError('CODE is no enrolment code')
  const directory = resolve(relay.directory)
  const file = join(directory, 'relay.yaml')
  const code = join(directory, CODE_FILE)
  const text = configurationText(relay)
  const wanted = parseSettings(file, text, hostname()).controlPlane
  if (existsSync(file)) {
    const there = parseSettings(file, readFileSync(file, 'utf8'), hostname()).controlPlane
    if (there?.url !== wanted?.url)
      throw new UnusableFile(`${file} is of another control plane: name another --directory`)
    if (!isDeepStrictEqual(there?.enrolmentCode, wanted?.enrolmentCode))
      throw new UnusableFile(
        `${file} does not take its code from ${code}: write \`enrolmentCode: { file: ${CODE_FILE} }\``,
      )
  } else {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    writeFileSync(file, text, { mode: 0o600, flag: 'wx' })
  }
  writeFileSync(code, `${relay.code}\n`, { mode: 0o600 })
  chmodSync(code, 0o600) // of one that was there
  return file
}

function configurationText({ url, name, listen, monitor, trust }: NewRelay): string {
  const quoted = (value: string) => JSON.stringify(value)
  const listeners = listen.map((each) => `  - { ${placeText('--listen', each)}, tls: starttls }\n`)
  return [
    '# Written by `causeway relay --enrol`. docs/relay-configuration.md has every key; what is not here is pushed.\n',
    name === undefined ? '' : `name: ${quoted(name)}\n`,
    'listeners:\n',
    ...listeners,
    'spool: { directory: spool, key: { file: spool.key } }\n',
    'controlPlane:\n',
    `  url: ${quoted(url)}\n`,
    `  enrolmentCode: { file: ${CODE_FILE} }\n`,
    trust === undefined ? '' : `  trust: { file: ${quoted(resolve(trust))} }\n`,
    monitor === undefined ? '' : `metrics: { ${placeText('--monitor', monitor)} }\n`,
  ].join('')
}

/** @param place  `127.0.0.1:2525`, `[::]:25` */
function placeText(option: string, place: string): string {
  const [, inBrackets, plain, port] = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(place) ?? []
  const address = inBrackets ?? plain
  if (address === undefined || port === undefined)
    throw new UsageError(`${option} must be ADDRESS:PORT, such as 0.0.0.0:25 or [::]:25`)
  return `address: ${JSON.stringify(address)}, port: ${port}`
}
