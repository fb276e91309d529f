import type { Authorizer } from '@tidewire/server'
import { authorizeByPolicies, type AuthorizerOptions } from '../../messages/authorizer.ts'
import { feedRuntime } from '../feed/feed-runtime.ts'

/** The sessions that policies are asked on, and the bounds of asking. */
export type PolicyAuthorizerOptions = Omit<AuthorizerOptions, 'runtime'>

/** The authorizer on Node's clock. */
export function policyAuthorizer(options: PolicyAuthorizerOptions): Authorizer {
  return authorizeByPolicies({ ...options, runtime: feedRuntime })
}
