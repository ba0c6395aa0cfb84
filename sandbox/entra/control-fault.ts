// What was asked of the simulated Entra's control makes no sense; told to whoever asked.

export class ControlFault extends Error {
  override readonly name = 'ControlFault'
}
