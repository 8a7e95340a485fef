// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title IWrappedSalt
/// @notice What wrapped SALT (wSALT) has beyond ERC-20 (https://eips.ethereum.org/EIPS/eip-20): wrapping and unwrapping
/// of the native coin, and transfers by signed authorization as in ERC-3009 (https://eips.ethereum.org/EIPS/eip-3009).
/// @dev The surface is that of Citrate's own wSALT, so that whoever works with the one works with the other: signatures
/// as (v, r, s) only, no ERC-1271, no ERC-2612 permit, no ERC-5267 domain query. Citrate's token reverts with texts
/// where this one reverts with the errors below; nothing should depend on either.
///
/// All amounts are in base units, 18 decimals: 1 wSALT = 1 SALT = 10^18. All times are in seconds since 1970 (Unix), and
/// an authorization is valid strictly between its two times.
///
/// Authorizations are signed as EIP-712 (https://eips.ethereum.org/EIPS/eip-712) in the domain
/// {name: "Wrapped SALT", version: "1", chainId, verifyingContract}. A nonce is any 32 bytes that the authorizer has not
/// used before; all kinds of authorization share one set of nonces.
interface IWrappedSalt {
    /// @notice `account` wrapped `amount` of the native coin.
    event Deposit(address indexed account, uint256 amount);

    /// @notice `account` unwrapped `amount` into the native coin.
    event Withdrawal(address indexed account, uint256 amount);

    /// @notice An authorization of `authorizer` was executed.
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

    /// @notice `authorizer` made the nonce unusable before it was used.
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    /// @notice `deposit` was called without value.
    error ZeroDeposit();

    /// @notice The account that unwraps did not accept the native coin.
    /// @param account The account that refused.
    /// @param amount What was offered, in base units.
    error WithdrawalRefused(address account, uint256 amount);

    /// @notice The authorization is valid only later. It can be sent once a block is later than `validAfter`.
    /// @param validAfter The time that has not passed yet, in seconds.
    /// @param timestamp The time of this block, in seconds.
    error AuthorizationNotYetValid(uint256 validAfter, uint256 timestamp);

    /// @notice The authorization is no longer valid. A new one must be signed.
    /// @param validBefore The time that has been reached, in seconds.
    /// @param timestamp The time of this block, in seconds.
    error AuthorizationExpired(uint256 validBefore, uint256 timestamp);

    /// @notice The nonce has been used or canceled.
    /// @param authorizer Whose nonce.
    /// @param nonce The nonce.
    error AuthorizationSpent(address authorizer, bytes32 nonce);

    /// @notice Only the payee may submit this authorization.
    /// @param caller Who submitted it.
    /// @param payee Who may.
    error CallerNotPayee(address caller, address payee);

    /// @notice The signature is not the authorizer's over exactly these values in this domain, or its s is in the upper
    /// half of the curve order.
    /// @param authorizer Who should have signed.
    error InvalidSignature(address authorizer);

    /// @notice As InvalidSignature, for `transferWithFeeAuthorization`.
    error InvalidFeeAuthorization();

    /// @notice The fee is more than the value that it is taken from.
    /// @param fee The fee, in base units.
    /// @param value The value, in base units.
    error FeeExceedsValue(uint256 fee, uint256 value);

    /// @notice The treasury is the zero address.
    error ZeroTreasury();

    /// @notice Wraps the value of the call for the caller. Reverts with ZeroDeposit.
    /// @dev Coins sent without calldata are wrapped too, and there zero is allowed.
    function deposit() external payable;

    /// @notice Burns `amount` of the caller's wSALT and sends the caller as much of the native coin.
    /// @dev Reverts with WithdrawalRefused, or as the ERC-20 does when the balance is too small.
    /// @param amount How much, in base units.
    function withdraw(uint256 amount) external;

    /// @notice Transfers `value` from `from` to `to`, as `from` signed. Anyone may submit it.
    /// @dev Signed type: TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,
    /// uint256 validBefore,bytes32 nonce).
    /// Reverts with AuthorizationNotYetValid, AuthorizationExpired, AuthorizationSpent or InvalidSignature, in this order.
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

    /// @notice As `transferWithAuthorization`, but only `to` may submit it, so that nobody can come before a contract
    /// that acts on what it receives.
    /// @dev Signed type: ReceiveWithAuthorization, with the fields of TransferWithAuthorization.
    /// Reverts with CallerNotPayee, then as `transferWithAuthorization`.
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

    /// @notice Transfers `value` from `from`: `fee` of it to `treasury` and the rest to `to`. Anyone may submit it.
    /// @dev Citrate's own, in no standard. A part that is zero is not transferred.
    /// Signed type: TransferWithFeeAuthorization(address from,address to,uint256 value,address treasury,uint256 fee,
    /// uint256 validAfter,uint256 validBefore,bytes32 nonce). Note that the fields are not in the order of the parameters.
    /// Reverts with FeeExceedsValue, ZeroTreasury, AuthorizationNotYetValid, AuthorizationExpired, AuthorizationSpent or
    /// InvalidFeeAuthorization, in this order.
    /// @param from Who pays and signed.
    /// @param to Who is paid the value less the fee.
    /// @param treasury Who is paid the fee. Not the zero address.
    /// @param value What `from` pays in all, in base units.
    /// @param fee How much of the value goes to the treasury, in base units.
    /// @param validAfter Valid in blocks later than this time, in seconds.
    /// @param validBefore Valid in blocks earlier than this time, in seconds.
    /// @param nonce 32 bytes, used once by `from`.
    /// @param v 27 or 28.
    /// @param r The signature's r.
    /// @param s The signature's s, in the lower half of the curve order.
    function transferWithFeeAuthorization(
        address from,
        address to,
        address treasury,
        uint256 value,
        uint256 fee,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Makes a nonce of `authorizer` unusable, as `authorizer` signed. Anyone may submit it.
    /// @dev Signed type: CancelAuthorization(address authorizer,bytes32 nonce).
    /// Reverts with AuthorizationSpent or InvalidSignature, in this order.
    /// @param authorizer Whose nonce, and who signed.
    /// @param nonce The nonce.
    /// @param v 27 or 28.
    /// @param r The signature's r.
    /// @param s The signature's s, in the lower half of the curve order.
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Whether `nonce` of `authorizer` has been used or canceled.
    /// @param authorizer Whose nonce.
    /// @param nonce The nonce.
    /// @return spent True if it can no longer be used.
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool spent);

    /// @notice The EIP-712 domain separator for the chain id as it is now.
    /// @return separator The hash of the domain.
    function DOMAIN_SEPARATOR() external view returns (bytes32 separator);

    /// @notice keccak256 of the type signed for `transferWithAuthorization`.
    function TRANSFER_WITH_AUTHORIZATION_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256 of the type signed for `receiveWithAuthorization`.
    function RECEIVE_WITH_AUTHORIZATION_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256 of the type signed for `transferWithFeeAuthorization`.
    function TRANSFER_WITH_FEE_AUTHORIZATION_TYPEHASH() external view returns (bytes32);

    /// @notice keccak256 of the type signed for `cancelAuthorization`.
    function CANCEL_AUTHORIZATION_TYPEHASH() external view returns (bytes32);
}
