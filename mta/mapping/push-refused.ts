// Why a push is not taken. Its text goes to the control plane and into the log: bland, without an address and without a secret. (RC-5, PR-2)

/**
 * - `wait`: what the relay has stays, and the next push may be better
 * - `resume`: the push is for another version than the relay has: it says again which it has
 * - `whole`: what it has can't be changed into the next version: it asks for all of it
 * - `distrust`: it is not from whom it says, or was altered: the connection ends
 */
export type Remedy = 'wait' | 'resume' | 'whole' | 'distrust'

export class PushRefused extends Error {
  override readonly name = 'PushRefused'
  readonly remedy: Remedy

  constructor(reason: string, remedy: Remedy = 'wait') {
    super(reason)
    this.remedy = remedy
  }
}
