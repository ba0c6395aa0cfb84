// Where a relay's control socket is. A Unix socket's path has at most 107 octets; a spool may lie deeper than that.
import { open } from 'node:fs/promises'
import { join } from 'node:path'

export const CONTROL_SOCKET = 'control.sock'
const MAX_SOCKET_PATH = 107

/**
 * A path of the socket that fits, for as long as it is held.
 * @throws Error on systems without /proc when the spool's path is too long
 */
export async function socketPath(
  spoolDirectory: string,
): Promise<{ path: string; [Symbol.asyncDispose](): Promise<void> }> {
  const path = join(spoolDirectory, CONTROL_SOCKET)
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return { path, async [Symbol.asyncDispose]() {} }
  if (process.platform !== 'linux') throw new Error(`the spool directory's path is too long for a Unix socket: ${path}`)
  // Linux follows this link inside the kernel: the name it is asked for stays short.
  const directory = await open(spoolDirectory, 'r')
  return { path: `/proc/self/fd/${directory.fd}/${CONTROL_SOCKET}`, [Symbol.asyncDispose]: () => directory.close() }
}
