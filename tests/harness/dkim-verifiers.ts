// Verifiers that nobody here wrote, over files and without a DNS: opendkim in its test mode, dkimpy for ARC and for DKIM once more.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** TXT records by name. */
export type KeyRecords = Readonly<Record<string, string>>

const OPENDKIM = '/usr/sbin/opendkim'
const PYTHON = '/usr/bin/python3' // Debian's own: its packages are where it looks

export function whyNoOpendkim(): string | undefined {
  return existsSync(OPENDKIM) ? undefined : 'needs OpenDKIM: apt-get install opendkim'
}

export function whyNoDkimpy(): string | undefined {
  const found = ['dkim/__init__.py', 'nacl/__init__.py'].every((file) =>
    existsSync(join('/usr/lib/python3/dist-packages', file)),
  )
  return found ? undefined : 'needs dkimpy: apt-get install python3-dkim python3-nacl'
}

/**
 * @param names  files in `directory`; configuration is written beside them
 * @returns per file what opendkim's Authentication-Results say of its signatures; a file it can't read ends the run with no entry
 */
export async function verifyWithOpendkim(
  directory: string,
  names: readonly string[],
  records: KeyRecords,
): Promise<Map<string, string[]>> {
  const lines = Object.entries(records).map(([name, text]) => `${name} ${text}\n`)
  await writeFile(join(directory, 'opendkim.keys'), lines.join(''))
  const configuration = ['Mode v', 'Syslog no', `TestPublicKeys ${join(directory, 'opendkim.keys')}`]
  if (process.getuid?.() === 0) configuration.push('UserID root')
  await writeFile(join(directory, 'opendkim.conf'), `${configuration.join('\n')}\n`)
  const files = names.map((name) => join(directory, name))
  const output = await stdoutOf(OPENDKIM, ['-x', join(directory, 'opendkim.conf'), '-v', '-v', '-t', files.join(',')])
  const results = new Map<string, string[]>()
  let found: string[] = []
  for (const line of output.split('\n')) {
    found.push(...[...line.matchAll(/\bdkim=(\w+)/g)].map(([, result = '']) => result))
    const file = files.indexOf(/^opendkim: (.*): verification \(/.exec(line)?.[1] ?? '')
    if (file < 0) continue
    results.set(names[file] ?? '', found)
    found = []
  }
  return results
}

export interface DkimpyResult {
  /** One per DKIM-Signature field. */
  readonly dkim: readonly boolean[]
  /** Lower case. */
  readonly arc: string
}

const DKIMPY_SCRIPT = `
import json, sys, dkim
request = json.load(sys.stdin)
def dns(name, timeout=5):
    name = (name.decode() if isinstance(name, bytes) else name).rstrip('.')
    record = request['records'].get(name)
    return record.encode() if record else None
answers = []
for path in request['files']:
    message = open(path, 'rb').read()
    count = sum(1 for name, _ in dkim.DKIM(message).headers if name.lower() == b'dkim-signature')
    verdicts = []
    for i in range(count):
        try:
            verdicts.append(bool(dkim.DKIM(message).verify(idx=i, dnsfunc=dns)))
        except dkim.DKIMException:
            verdicts.append(False)
    try:
        arc = dkim.arc_verify(message, dnsfunc=dns)[0].decode()
    except (dkim.DKIMException, IndexError): # it does not expect every broken chain
        arc = 'broken'
    answers.append({'dkim': verdicts, 'arc': arc})
json.dump(answers, sys.stdout)
`

/** @param names  files in `directory` @returns in their order */
export async function verifyWithDkimpy(
  directory: string,
  names: readonly string[],
  records: KeyRecords,
): Promise<DkimpyResult[]> {
  const request = JSON.stringify({ records, files: names.map((name) => join(directory, name)) })
  const output = await stdoutOf(PYTHON, ['-c', DKIMPY_SCRIPT], request)
  return JSON.parse(output) as DkimpyResult[]
}

/** @returns all it wrote, also when it then failed: opendkim does so for one bad signature among many messages */
function stdoutOf(command: string, args: readonly string[], stdin = ''): Promise<string> {
  return new Promise((done, fail) => {
    const child = execFile(command, args, { maxBuffer: 256 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error !== null && stdout === '') fail(new Error(`${command}: ${stderr}`, { cause: error }))
      else done(stdout)
    })
    child.stdin?.end(stdin)
  })
}
