// `doctor`: observes, and gives each observation to its judgement, in the order a person would look. Nothing is changed. (OP-5)
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { nextHopOf } from '../outbound/route.ts'
import { smartHosts } from '../route-names.ts'
import { hasControlPlane, loadSettings, SettingsFault } from '../settings.ts'
import type { Settings } from '../settings.ts'
import { faultText } from '../settings-fault.ts'
import { Disk } from '../spool/disk.ts'
import { judgeCertificate, observeCertificate } from '../../common/doctor/certificates.ts'
import type { CertificateFile } from '../../common/doctor/certificates.ts'
import { judgeEnrolment, observeEnrolment, withProject } from './enrolment.ts'
import type { EnrolmentFacts } from './enrolment.ts'
import { observeFile } from '../../common/doctor/files.ts'
import { judgeFile, judgeSpoolFiles, observeSpoolFiles } from './files.ts'
import { fault, ok, warning } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'
import { judgeMachine, observeMachine } from '../../common/doctor/machine.ts'
import { holderOf } from './holder.ts'
import { judgeExposure, judgeListener, judgeNextHop, observeNextHop, observePort } from './network.ts'
import { countQuarantined, judgeKey, judgeQuarantine, judgeRoom, observeKey } from './spool-state.ts'
import { judgeRunning, judgeTable, observeRunning, observeTable } from './table-state.ts'

export async function examineRelay(configFile: string, now: () => number): Promise<Finding[]> {
  let settings: Settings
  try {
    settings = await loadSettings(configFile)
  } catch (error) {
    if (!(error instanceof SettingsFault)) throw error
    return error.faults.map((each) => fault('configuration', faultText(each), 'see docs/relay-configuration.md'))
  }
  const findings: Finding[] = [
    ok('configuration', settings.file),
    ...settings.warnings.map((text) => warning('configuration', text, 'see docs/relay-configuration.md')),
  ]
  const enrolled = hasControlPlane(settings) ? await observeEnrolment(settings) : undefined
  const spool = await examineSpool(enrolled === undefined ? settings : withProject(settings, enrolled))
  const pids = await Promise.all(spool.parts.map(holderOf))
  const pid = pids.find((each) => each !== undefined)
  findings.push(...spool.findings, ...judgeMachine(await observeMachine(pid, spool.newestMs, now())))

  const kept = await examineProject(settings, enrolled, now())
  findings.push(...kept.findings)
  findings.push(...(await examineCertificates(certificateFiles(settings), now())))
  findings.push(...(await examineNetwork(settings, kept.routes, pid !== undefined)))
  if (pid === undefined) findings.push(warning('relay', 'no relay has the spool open', 'start it'))
  else if (settings.metrics === undefined)
    findings.push(warning('relay', 'runs, but without `metrics` nobody can see whether it is ready', 'add `metrics`'))
  else findings.push(judgeRunning(await observeRunning(settings.metrics), kept.tableVersion))
  return findings
}

/** Where the project comes from: the table file, or the enrolment and what was pushed. */
async function examineProject(settings: Settings, enrolled: EnrolmentFacts | undefined, now: number) {
  if (enrolled !== undefined) {
    const snapshot = enrolled.kind === 'enrolled' ? enrolled.snapshot : undefined
    const findings = judgeEnrolment(enrolled, now)
    return { findings, routes: snapshot?.project.project.routes ?? {}, tableVersion: snapshot?.table.version }
  }
  const { file } = settings.table ?? { file: '' }
  const table = await observeTable(file)
  const wanted = { file, project: settings.project, maxAgeMs: settings.limits.maxTableAgeMs }
  return {
    findings: [judgeTable(wanted, table, now)],
    routes: smartHosts(settings),
    tableVersion: table.kind === 'read' ? table.version : undefined,
  }
}

async function examineSpool({ file, spool, marker, table, controlPlane, limits }: Settings) {
  const directory = await observeFile(spool.directory)
  const owner = directory.kind === 'there' ? directory.uid : undefined
  const parts = [spool.directory, ...(await workerParts(spool.directory))]
  const findings = [
    judgeFile('spool-directory', spool.directory, 'secret', directory, owner),
    judgeFile('spool-key-file', spool.key.file, 'secret', await observeFile(spool.key.file), owner),
    controlPlane === undefined
      ? judgeFile('marker-file', marker.file, 'secret', await observeFile(marker.file), owner)
      : judgeFile(
          'state-directory',
          controlPlane.state.directory,
          'secret',
          await observeFile(controlPlane.state.directory),
          owner,
        ),
    judgeFile('configuration-file', file, 'trusted', await observeFile(file), owner),
  ]
  if (table !== undefined && existsSync(table.file))
    findings.push(judgeFile('table-file', table.file, 'trusted', await observeFile(table.file), owner))
  if (owner === undefined) return { findings, parts, newestMs: undefined }
  const files = await observeSpoolFiles(spool.directory, owner)
  const keys = await Promise.all(
    parts.map(async (part) => judgeKey(await observeKey(spool.key.file, part, spool.project), part)),
  )
  const quarantined = await Promise.all(parts.map(countQuarantined))
  findings.push(
    judgeSpoolFiles(files, spool.directory),
    ...keys,
    judgeRoom(limits, new Disk(spool.directory).space(), spool.directory),
    judgeQuarantine(quarantined.reduce((sum, each) => sum + each, 0)),
  )
  return { findings, parts, newestMs: files.newestMs }
}

/** A relay with several workers has a spool in each of these. */
async function workerParts(directory: string): Promise<string[]> {
  if (!existsSync(directory)) return []
  const names = (await readdir(directory)).filter((name) => /^worker-\d{1,4}$/.test(name))
  return names.toSorted().map((name) => join(directory, name))
}

/** Every certificate that the configuration names. */
function certificateFiles({ certificates, tenants = [] }: Settings): CertificateFile[] {
  return [
    ...certificates.map((files, index) => ({ use: `certificates[${index}]`, ...files })),
    ...tenants.flatMap(({ clientCertificate }, index) =>
      clientCertificate === undefined ? [] : [{ use: `tenants[${index}].clientCertificate`, ...clientCertificate }],
    ),
  ]
}

async function examineCertificates(files: readonly CertificateFile[], now: number): Promise<Finding[]> {
  if (files.length === 0) return [ok('certificate', 'the configuration names none')]
  return Promise.all(files.map(async (file) => judgeCertificate(file, await observeCertificate(file), now)))
}

async function examineNetwork(
  settings: Settings,
  routes: ReturnType<typeof smartHosts>,
  isRunning: boolean,
): Promise<Finding[]> {
  const { listeners, metrics } = settings
  const fixed = listeners.filter(({ port }) => port !== 0)
  const open = fixed.map(async (listener) =>
    judgeListener(listener, await observePort(reachable(listener.address), listener.port), isRunning),
  )
  const hops = Object.entries(routes).map(async ([name, route]) => {
    const { hostPort, host, port } = nextHopOf(route)
    return judgeNextHop(name, hostPort, await observeNextHop(host, port))
  })
  return [
    ...(await Promise.all(open)),
    ...(metrics === undefined
      ? []
      : [judgeExposure('metrics', metrics.address, metrics.port, 'it tells how much mail flows')]),
    ...(await Promise.all(hops)),
  ]
}

/** An address that means "all of this machine's" is reached by one of them. */
function reachable(address: string): string {
  return address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address
}
