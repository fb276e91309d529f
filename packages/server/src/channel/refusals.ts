import { wireTopic, type Ref } from '@tidewire/protocol'
import { explained } from '../auth/refusal.ts'
import type { DecisionCode } from '../decision-code.ts'
import type { Decision } from '../ports.ts'
import type { JoinedChannel } from './joined-channel.ts'

/** Refuses a push: an error reply where there is a ref to answer, a `system` message otherwise (rule X4). */
export function refuse(channel: JoinedChannel, ref: Ref, code: DecisionCode, reason: string, response: unknown = { reason }): void {
  answer(channel, ref, { code, reason, detail: reason }, response)
}

/** Refuses a push that the policies deny. */
export function refuseWrite(channel: JoinedChannel, ref: Ref, text: string): void {
  const { shown, logged } = explained(text, channel.mayWrite.refusal)
  answer(channel, ref, { code: 'unauthorized', reason: shown, detail: logged }, { reason: shown })
}

export function report(
  { services, connection, subTopic, request }: Pick<JoinedChannel, 'services' | 'connection' | 'subTopic' | 'request'>,
  kind: Decision['kind'],
  code: DecisionCode,
  detail: string,
): void {
  services.observer.decision({ kind, code, detail, connection: connection.id, topic: wireTopic(subTopic), private: request.private })
}

function answer(
  channel: JoinedChannel,
  ref: Ref,
  { code, reason, detail }: { readonly code: DecisionCode; readonly reason: string; readonly detail: string },
  response: unknown,
): void {
  report(channel, 'push-refused', code, detail)
  if (ref !== null) channel.writer.reply(ref, 'error', response)
  else if (channel.connection.rates.allowNotice(code)) channel.writer.system('error', 'system', reason)
}
