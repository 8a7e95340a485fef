// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title IX402Permit2Proxy
/// @notice What the two x402 proxies share. A payer signs a Permit2 transfer (https://github.com/Uniswap/permit2) whose
/// spender is the proxy and whose witness names the payee; whoever submits it pays the gas and can change nothing.
/// @dev Calls, typed data, checks, their order, events and errors are those of x402's own proxies
/// (https://github.com/x402-foundation/x402, schemes `exact` and `upto`), so that what an x402 client signed for the
/// address at which a proxy stands settles through it. Beyond them there is one event: PaymentSettled.
///
/// The proxies have no owner, no fee, no upgrade and no storage, and hold no tokens: Permit2 moves them from the payer
/// straight to the payee. All amounts are in base units of the token, all times in seconds since 1970 (Unix).
///
/// Errors carry no values, because x402's carry none and their selectors would differ.
interface IX402Permit2Proxy {
    /// @notice What a payer permits to be moved. Permit2's own struct.
    /// @param token The ERC-20.
    /// @param amount How much, at most for `upto`, exactly for `exact`.
    struct TokenPermissions {
        address token;
        uint256 amount;
    }

    /// @notice A payer's permission to move a token once. Permit2's own struct.
    /// @param permitted What may be moved.
    /// @param nonce Any number that the payer has not used with Permit2 before. Permit2 keeps one bit for each, 256 in
    /// a storage slot: numbers that share all but the lowest eight bits with a used one are cheaper.
    /// @param deadline The last second at which it may be settled.
    struct PermitTransferFrom {
        TokenPermissions permitted;
        uint256 nonce;
        uint256 deadline;
    }

    /// @notice An EIP-2612 permit for Permit2 as spender, signed by the payer.
    /// @param value The allowance that it gives. It must be the permitted amount.
    /// @param deadline The last second at which the token takes it.
    /// @param r The signature's r.
    /// @param s The signature's s.
    /// @param v The signature's v.
    struct EIP2612Permit {
        uint256 value;
        uint256 deadline;
        bytes32 r;
        bytes32 s;
        uint8 v;
    }

    /// @notice A payment was settled by `settle`. x402's event; PaymentSettled says which.
    event Settled();

    /// @notice A payment was settled by `settleWithPermit`. x402's event; PaymentSettled says which.
    event SettledWithPermit();

    /// @notice Permit2 moved a payment, or says so. One event is one payment.
    /// @dev The token decides what arrived: a token may take a fee, lie, or be an address without code. Count the event
    /// for tokens that are known to do neither, or hold it against the token's own Transfer event.
    /// @param owner Who paid and signed.
    /// @param payee Who was paid.
    /// @param token The ERC-20.
    /// @param amount How much was asked of Permit2, in base units of the token. Never zero.
    /// @param nonce The permission's nonce. With the owner it names the payment: Permit2 takes it once.
    event PaymentSettled(
        address indexed owner, address indexed payee, address indexed token, uint256 amount, uint256 nonce
    );

    /// @notice The token refused the EIP-2612 permit with a text. The payment goes on: the allowance may be there.
    event EIP2612PermitFailedWithReason(address indexed token, address indexed owner, string reason);

    /// @notice The token refused the EIP-2612 permit with a panic. The payment goes on: the allowance may be there.
    event EIP2612PermitFailedWithPanic(address indexed token, address indexed owner, uint256 errorCode);

    /// @notice The token refused the EIP-2612 permit with other data or none. The payment goes on: the allowance may be
    /// there.
    event EIP2612PermitFailedWithData(address indexed token, address indexed owner, bytes data);

    /// @notice The proxy cannot be created for Permit2 at the zero address.
    error InvalidPermit2Address();

    /// @notice The payee is the zero address.
    error InvalidDestination();

    /// @notice The payment may be settled only from the witness' `validAfter` on.
    error PaymentTooEarly();

    /// @notice The payer is the zero address.
    error InvalidOwner();

    /// @notice The amount to settle is zero.
    error InvalidAmount();

    /// @notice The EIP-2612 permit's value is not the amount that is permitted to Permit2.
    error Permit2612AmountMismatch();

    /// @notice The Permit2 contract that payers sign for and approve.
    function PERMIT2() external view returns (address);

    /// @notice keccak256 of the witness' type.
    function WITNESS_TYPEHASH() external view returns (bytes32);

    /// @notice The end of the type that is signed, as Permit2 takes it.
    function WITNESS_TYPE_STRING() external view returns (string memory);
}

/// @title IX402ExactPermit2Proxy
/// @notice Settles x402's scheme `exact`: the whole permitted amount, submitted by anyone.
interface IX402ExactPermit2Proxy {
    /// @notice What the payer's signature binds beyond Permit2's fields.
    /// @param to Who is paid.
    /// @param validAfter The first second at which it may be settled.
    struct Witness {
        address to;
        uint256 validAfter;
    }

    /// @notice Moves the permitted amount from `owner` to the witness' payee.
    /// @dev Signed type: PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,
    /// uint256 deadline,Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,
    /// uint256 validAfter), in the domain {name: "Permit2", chainId, verifyingContract: PERMIT2}, with the proxy as
    /// spender.
    /// Reverts with InvalidAmount, InvalidOwner, InvalidDestination, PaymentTooEarly, or as Permit2 does
    /// (SignatureExpired, InvalidNonce, a bad signature, TRANSFER_FROM_FAILED), in this order; and on reentrance.
    /// @param permit What is permitted.
    /// @param owner Who pays and signed.
    /// @param witness Who is paid, and from when on.
    /// @param signature 65 bytes, or 64 as in EIP-2098; for an owner with code, what its ERC-1271 takes.
    function settle(
        IX402Permit2Proxy.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external;

    /// @notice As `settle`, after giving the token an EIP-2612 permit that lets Permit2 move the amount.
    /// @dev A permit that the token refuses is not the end: somebody else may have submitted it already.
    /// Reverts with Permit2612AmountMismatch, then as `settle`.
    /// @param permit2612 The permit for the token.
    /// @param permit What is permitted to the proxy.
    /// @param owner Who pays and signed both.
    /// @param witness Who is paid, and from when on.
    /// @param signature As in `settle`.
    function settleWithPermit(
        IX402Permit2Proxy.EIP2612Permit calldata permit2612,
        IX402Permit2Proxy.PermitTransferFrom calldata permit,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external;
}

/// @title IX402UptoPermit2Proxy
/// @notice Settles x402's scheme `upto`: what was used, up to the permitted amount, submitted by the facilitator that
/// the payer named. Nobody else could be trusted with the choice of the amount.
interface IX402UptoPermit2Proxy {
    /// @notice What the payer's signature binds beyond Permit2's fields.
    /// @param to Who is paid.
    /// @param facilitator Who alone may settle, and so says how much.
    /// @param validAfter The first second at which it may be settled.
    struct Witness {
        address to;
        address facilitator;
        uint256 validAfter;
    }

    /// @notice The amount is more than the payer permitted.
    error AmountExceedsPermitted();

    /// @notice The caller is not the facilitator that the payer named.
    error UnauthorizedFacilitator();

    /// @notice Moves `amount` from `owner` to the witness' payee. Once: what is left of the permission is void.
    /// @dev Signed type: as for `exact`, with Witness(address to,address facilitator,uint256 validAfter).
    /// Reverts with AmountExceedsPermitted, UnauthorizedFacilitator, InvalidAmount, InvalidOwner, InvalidDestination,
    /// PaymentTooEarly, or as Permit2 does, in this order; and on reentrance.
    /// @param permit What is permitted.
    /// @param amount How much is moved, in base units of the token. Not zero.
    /// @param owner Who pays and signed.
    /// @param witness Who is paid, by whom it is settled, and from when on.
    /// @param signature 65 bytes, or 64 as in EIP-2098; for an owner with code, what its ERC-1271 takes.
    function settle(
        IX402Permit2Proxy.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external;

    /// @notice As `settle`, after giving the token an EIP-2612 permit that lets Permit2 move the permitted amount.
    /// @dev A permit that the token refuses is not the end: somebody else may have submitted it already.
    /// Reverts with AmountExceedsPermitted, UnauthorizedFacilitator, Permit2612AmountMismatch, then as `settle`.
    /// @param permit2612 The permit for the token. Its value is the permitted amount, not `amount`.
    /// @param permit What is permitted to the proxy.
    /// @param amount How much is moved, in base units of the token. Not zero.
    /// @param owner Who pays and signed both.
    /// @param witness Who is paid, by whom it is settled, and from when on.
    /// @param signature As in `settle`.
    function settleWithPermit(
        IX402Permit2Proxy.EIP2612Permit calldata permit2612,
        IX402Permit2Proxy.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external;
}
