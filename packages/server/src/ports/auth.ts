import type { JsonObject } from '@tidewire/protocol'
import type { JoinPosition } from './log.ts'

/** The claims of a token whose signature is good. */
export type Claims = JsonObject

/** Why the signature of a token cannot be trusted. */
export type TokenFault =
  | { readonly code: 'malformed' }
  | { readonly code: 'signature' }
  /** No key for this token: unknown algorithm, or no key with this id. */
  | { readonly code: 'signer'; readonly kid: string | null }

/** Checks signatures; `auth/token.ts` checks claims. Never rejects. */
export interface TokenVerifier {
  verify(token: string): Promise<{ readonly ok: true; readonly claims: Claims } | { readonly ok: false; readonly fault: TokenFault }>
}

/** The parts of a connection that policies may read: `auth.role()`, `auth.jwt()`, headers. */
export interface Identity {
  readonly role: string
  readonly claims: Claims
  /** The `x-*` headers of the upgrade (all headers for HTTP), names in lower case. */
  readonly headers: Readonly<Record<string, string>>
}

/** The question whether an identity may use a private channel; the topic is without `realtime:`. */
export interface AuthorizationRequest {
  readonly subTopic: string
  readonly identity: Identity
  /** Questions of one origin wait for each other, so that one client does not hold up the others. Default: those of one identity. */
  readonly asker?: { readonly origin: object; isWaiting(): boolean }
}

/** `ok: false`: the policies could not be asked; `reason` is the text for the client, which begins with a code. */
export type Authorization =
  | {
      readonly ok: true
      readonly broadcast: boolean
      readonly presence: boolean
      /** For the observer and for `dev`. */ readonly detail?: string
      /** A policy raised an error instead of answering; `detail` names it. */ readonly failed?: boolean
      /** Where the log was when the policies were asked, which was after the question came; absent: not known. */
      readonly position?: JoinPosition | null
    }
  | { readonly ok: false; readonly reason: string }

/** Decides private channels. Never rejects. */
export interface Authorizer {
  /** Whether the identity may receive on the topic. Asked at the join and after a new token. */
  read(request: AuthorizationRequest): Promise<Authorization>
  /** Whether the identity may send to the topic. Asked at the first push and after a new token. */
  write(request: AuthorizationRequest): Promise<Authorization>
}
