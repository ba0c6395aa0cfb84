// Validate-OutboundConnector: tries a connector and says how each task went. It changes nothing, least of all `IsValidated`. (coexistence.md §2.1 row 5b)
import type { Cmdlet } from './cmdlet.ts'
import { rowsOf } from './cmdlet.ts'
import { findSetting } from './configuration.ts'
import { unfitValue } from './exchange-error.ts'
import { isAddress } from './setting-values.ts'
import { identityIn } from './write-settings.ts'

/** TaskName and IsTaskSuccessful are what administrators' scripts read; the text beside them is named from memory. */
export const validateOutboundConnector: Cmdlet = {
  name: 'Validate-OutboundConnector',
  isWrite: false,
  heeds: ['Identity', 'Recipients'],
  run: async (call) => {
    const { parameters, services, tenant } = call
    const connector = findSetting(call, 'OutboundConnector', identityIn(call))
    const recipients = parameters.list('Recipients') ?? []
    if (recipients.length === 0 || !recipients.every(isAddress))
      throw unfitValue('Recipients', 'Cannot convert value to type "SmtpAddress".')
    const tasks = (await services.validateConnector?.(tenant.id, connector, recipients)) ?? [
      { name: 'Check connectivity', isSuccessful: false, detail: 'this sandbox has no mail' },
    ]
    return {
      rows: rowsOf(tasks, ({ name, isSuccessful, detail }) => ({
        TaskName: name,
        IsTaskSuccessful: isSuccessful,
        TaskDetail: detail,
      })),
    }
  },
}
