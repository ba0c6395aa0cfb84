// A domain of which nothing else is said: verified, managed, takes mail.
import type { Domain } from './objects.ts'

export function plainDomain(id: string, differing: Partial<Domain> = {}): Domain {
  return {
    id,
    isVerified: true,
    isDefault: false,
    isInitial: false,
    authenticationType: 'Managed',
    supportedServices: ['Email', 'OfficeCommunicationsOnline'],
    ...differing,
  }
}
