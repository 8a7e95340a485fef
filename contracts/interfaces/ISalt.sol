// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title ISalt
/// @notice What Salt (SALT) has beyond ERC-20 (https://eips.ethereum.org/EIPS/eip-20): transfers by signed
/// authorization as in ERC-3009 (https://eips.ethereum.org/EIPS/eip-3009). It is the coin of Citrate where it is not
/// the native one. Besides, it has ERC-2612 permits (https://eips.ethereum.org/EIPS/eip-2612) and the domain query of
/// ERC-5267 (https://eips.ethereum.org/EIPS/eip-5267), as OpenZeppelin has them.
/// @dev Nobody can mint, burn another's tokens, pause, blacklist, charge a fee or change the code. The whole supply is
/// created with the contract, for one holder: a bridge's lockbox, which gives out here what is locked on Citrate. A
/// bridge with a flaw can then lose what its lockbox holds and no more, and it can be replaced without a new token.
///
/// All amounts are in base units, 18 decimals: 1 SALT = 10^18. All times are in seconds since 1970 (Unix), and an
/// authorization is valid strictly between its two times.
///
/// Authorizations and permits are signed as EIP-712 (https://eips.ethereum.org/EIPS/eip-712) in the domain {name:
/// name(), version: version(), chainId, verifyingContract}, which is {name: "Salt", version: "1", ...}. A nonce is any
/// 32 bytes that the authorizer has not used before; all kinds of authorization share one set of nonces. Permits have
/// their own, which count up.
///
/// An authorization is signed by the account's key, whatever code the account has (EIP-7702 gives code to accounts that
/// still sign); where no such signature is found and the account has code, its ERC-1271
/// (https://eips.ethereum.org/EIPS/eip-1271) decides. Both overloads do both, because x402 facilitators submit 65 bytes
/// as (v, r, s), whoever made them. ERC-2612 permits are signed by the key alone.
///
/// Authorizations that fail revert with texts and not with errors, because facilitators find out why by searching the
/// text, and cannot read errors that they do not know:
///
/// - "Salt: caller is not the payee"
/// - "Salt: authorization is not yet valid"
/// - "Salt: authorization is expired"
/// - "Salt: authorization is used or canceled"
/// - "Salt: invalid signature"
/// - "Salt: transfer amount exceeds balance"
interface ISalt {
    /// @notice An authorization of `authorizer` was executed.
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

    /// @notice `authorizer` made the nonce unusable before it was used.
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    /// @notice Transfers `value` from `from` to `to`, as `from` signed. Anyone may submit it.
    /// @dev Signed type: TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,
    /// uint256 validBefore,bytes32 nonce).
    /// Checks the times, the nonce, the signature and the balance, in this order.
    /// @param from Who pays and signed.
    /// @param to Who is paid.
    /// @param value How much, in base units.
    /// @param validAfter Valid in blocks later than this time, in seconds.
    /// @param validBefore Valid in blocks earlier than this time, in seconds.
    /// @param nonce 32 bytes, used once by `from`.
    /// @param v 27 or 28.
    /// @param r The signature's r.
    /// @param s The signature's s, in the lower half of the curve order.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Transfers `value` from `from` to `to`, as `from` signed. Anyone may submit it.
    /// @dev As the overload with (v, r, s); the signature may have any length.
    /// @param from Who pays and signed.
    /// @param to Who is paid.
    /// @param value How much, in base units.
    /// @param validAfter Valid in blocks later than this time, in seconds.
    /// @param validBefore Valid in blocks earlier than this time, in seconds.
    /// @param nonce 32 bytes, used once by `from`.
    /// @param signature 65 bytes (r, s, v) of the key of `from`, or what its ERC-1271 takes.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;

    /// @notice As `transferWithAuthorization`, but only `to` may submit it, so that nobody can come before a contract
    /// that acts on what it receives.
    /// @dev Signed type: ReceiveWithAuthorization, with the fields of TransferWithAuthorization.
    /// Checks the caller, then as `transferWithAuthorization`.
    /// @param from Who pays and signed.
    /// @param to Who is paid, and calls.
    /// @param value How much, in base units.
    /// @param validAfter Valid in blocks later than this time, in seconds.
    /// @param validBefore Valid in blocks earlier than this time, in seconds.
    /// @param nonce 32 bytes, used once by `from`.
    /// @param v 27 or 28.
    /// @param r The signature's r.
    /// @param s The signature's s, in the lower half of the curve order.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice As `transferWithAuthorization`, but only `to` may submit it, so that nobody can come before a contract
    /// that acts on what it receives.
    /// @dev As the overload with (v, r, s); the signature may have any length.
    /// @param from Who pays and signed.
    /// @param to Who is paid, and calls.
    /// @param value How much, in base units.
    /// @param validAfter Valid in blocks later than this time, in seconds.
    /// @param validBefore Valid in blocks earlier than this time, in seconds.
    /// @param nonce 32 bytes, used once by `from`.
    /// @param signature 65 bytes (r, s, v) of the key of `from`, or what its ERC-1271 takes.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;

    /// @notice Makes a nonce of `authorizer` unusable, as `authorizer` signed. Anyone may submit it.
    /// @dev Signed type: CancelAuthorization(address authorizer,bytes32 nonce).
    /// Checks the nonce and the signature, in this order.
    /// @param authorizer Whose nonce, and who signed.
    /// @param nonce The nonce.
    /// @param v 27 or 28.
    /// @param r The signature's r.
    /// @param s The signature's s, in the lower half of the curve order.
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Makes a nonce of `authorizer` unusable, as `authorizer` signed. Anyone may submit it.
    /// @dev As the overload with (v, r, s); the signature may have any length.
    /// @param authorizer Whose nonce, and who signed.
    /// @param nonce The nonce.
    /// @param signature 65 bytes (r, s, v) of the key of `authorizer`, or what its ERC-1271 takes.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes calldata signature) external;

    /// @notice Whether `nonce` of `authorizer` has been used or canceled.
    /// @param authorizer Whose nonce.
    /// @param nonce The nonce.
    /// @return spent True if it can no longer be used.
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool spent);

    /// @notice The version of the EIP-712 domain.
    function version() external view returns (string memory);

    /// @notice keccak256 of the type signed for `transferWithAuthorization`.
    function TRANSFER_WITH_AUTHORIZATION_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256 of the type signed for `receiveWithAuthorization`.
    function RECEIVE_WITH_AUTHORIZATION_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256 of the type signed for `cancelAuthorization`.
    function CANCEL_AUTHORIZATION_TYPEHASH() external view returns (bytes32);
}
