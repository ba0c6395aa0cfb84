// `doctor` for the control plane: what its environment says, and whether what it needs is there and as it should be. Observes, gives each observation to
// its judgement, changes nothing. (OP-5)
import { judgeCertificate, observeCertificate } from '../../common/doctor/certificates.ts'
import { fault, ok } from '../../common/doctor/finding.ts'
import type { Finding } from '../../common/doctor/finding.ts'
import { judgeMachine, observeMachine } from '../../common/doctor/machine.ts'
import { certificateFiles } from '../monitoring/certificate-figures.ts'
import { loadSettings, SettingsFault } from '../settings.ts'
import type { Settings } from '../settings.ts'
import { examineDatabase } from './database-state.ts'
import { examineFiles } from './files.ts'
import { examineKeys } from './keys-state.ts'
import { examineNetwork } from './network.ts'
import { examineQueue } from './queue-state.ts'

type Environment = Readonly<Record<string, string | undefined>>

export async function examineControlPlane(env: Environment, now: () => number): Promise<Finding[]> {
  let settings: Settings
  try {
    settings = loadSettings(env)
  } catch (error) {
    if (!(error instanceof SettingsFault)) throw error
    return error.faults.map((each) => fault('settings', each, 'see docs/control-plane-settings.md'))
  }
  const database = await examineDatabase(settings.database, now)
  return [
    ok('settings', `${settings.mode}, ${settings.publicUrl.origin}, region ${settings.region}`),
    ...database.findings,
    ...(await examineQueue(settings)),
    ...(await examineKeys(settings, database.keys, now)),
    ...(await examineFiles(settings, env)),
    ...(await examineCertificates(settings, now())),
    ...(await examineNetwork(settings)),
    ...judgeMachine(await observeMachine(undefined, undefined, now()), {
      runs: 'api and worker',
      memory: 'keys and mapping tables',
    }),
  ]
}

async function examineCertificates(settings: Settings, now: number): Promise<Finding[]> {
  const files = certificateFiles(settings).map(({ setting, file, keyFile = file }) => {
    return { use: setting, certificate: file, key: keyFile }
  })
  if (files.length === 0) return [ok('certificate', 'the settings name none')]
  const renew = 'renew it, register it where it has to be known, put it in place, and start the process again'
  return Promise.all(files.map(async (file) => judgeCertificate(file, await observeCertificate(file), now, renew)))
}
