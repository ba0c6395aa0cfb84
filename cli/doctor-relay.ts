// The half of `doctor` that knows relays. Not in the image of the control plane.
import type { Finding } from '../common/doctor/finding.ts'
import { examineRelay } from '../mta/doctor/examine.ts'

export const examine = (config: string): Promise<Finding[]> => examineRelay(config, Date.now)
