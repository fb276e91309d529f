import type { JsonObject } from '@tidewire/protocol'

/** The claims of a token whose signature is good. */
export type Claims = JsonObject

/** Why a token cannot be trusted, before any claim is looked at. */
export type TokenFault =
  | { readonly code: 'malformed' }
  | { readonly code: 'signature' }
  /** No key for this token: unknown algorithm, or no key with this id. */
  | { readonly code: 'signer'; readonly kid: string | null }

/** Checks signatures. What the claims must say is decided in `auth/token`. Never rejects. */
export interface TokenVerifier {
  verify(token: string): Promise<{ readonly ok: true; readonly claims: Claims } | { readonly ok: false; readonly fault: TokenFault }>
}

/** What policies may read of a connection: `auth.role()`, `auth.jwt()`, headers. */
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
  /** Where many ask, those of one origin wait for each other. Without it, those of one identity do. */
  readonly asker?: { readonly origin: object; isWaiting(): boolean }
}

/** `ok: false` means no answer could be had; `reason` is the text for the client, with its code in front. */
export type Authorization =
  | {
      readonly ok: true
      readonly broadcast: boolean
      readonly presence: boolean
      /** For the observer and for `dev`. */ readonly detail?: string
      /** A policy raised an error instead of answering; `detail` names it. */ readonly failed?: boolean
    }
  | { readonly ok: false; readonly reason: string }

/** Decides private channels. Never rejects. */
export interface Authorizer {
  /** May this identity receive on the topic? Asked at join and after a new token. */
  read(request: AuthorizationRequest): Promise<Authorization>
  /** May it send? Asked at first use and after a new token. */
  write(request: AuthorizationRequest): Promise<Authorization>
}
