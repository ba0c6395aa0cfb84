// The half of `doctor` that knows the control plane. Not in the image of the relay.
import type { Finding } from '../common/doctor/finding.ts'
import { examineControlPlane } from '../control-plane/doctor/examine.ts'

export const examine = (): Promise<Finding[]> => examineControlPlane(process.env, Date.now)
