// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title ISaltPay
/// @notice Pays a payee for a reference, in the chain's native coin or in an ERC-20, and says so in one event.
/// @dev The money goes straight from the payer to the payee. The contract has no owner, no fee and no upgrade, and it
/// keeps nothing between two calls. Coins that are forced upon it (by a block reward or SELFDESTRUCT) or tokens that
/// are sent to its address by mistake belong to nobody and stay there.
///
/// All amounts are in base units of the asset (18 decimals for SALT: 1 SALT = 10^18).
///
/// The contract does not remember references: paying one twice makes two payments and two events. What a reference
/// means, and that it is honoured once, is for the payee's verifier to decide.
///
/// Tokens with EIP-3009 need no contract to be paid with for a reference: the payer signs a TransferWithAuthorization
/// (or ReceiveWithAuthorization) to the payee whose nonce is the reference, anyone submits it to the token, and the
/// token's AuthorizationUsed(payer, reference) and Transfer(payer, payee, amount), one after the other in one
/// transaction, are the proof. The token takes a nonce of a payer once.
interface ISaltPay {
    /// @notice One of the payments of `payMany`.
    /// @param paymentReference What is paid for. Not zero.
    /// @param payee Who is paid. Not the zero address, this contract or the caller.
    /// @param asset The ERC-20, or the zero address for the native coin.
    /// @param amount How much, in base units of the asset. Not zero.
    struct Order {
        bytes32 paymentReference;
        address payee;
        address asset;
        uint256 amount;
    }

    /// @notice A payee has received a payment. One event is one payment, also when a transaction holds many.
    /// @param paymentReference What was paid for, as quoted by the payee: keccak256 of the secret quote id.
    /// @param payer The account that called and whose money it was.
    /// @param payee The account that received the whole amount.
    /// @param asset The ERC-20, or the zero address for the native coin.
    /// @param amount What the payee received, in base units of the asset. Never zero.
    event Payment(
        bytes32 indexed paymentReference, address indexed payer, address indexed payee, address asset, uint256 amount
    );

    /// @notice The caller gave something back to somebody who had paid it. Never a payment.
    /// @dev It says that the money went from `payee` to `payer`, and no more: anybody can say so of any reference by
    /// sending money of its own. It belongs to a Payment whose reference, payer, payee and asset are the same.
    /// @param paymentReference The reference of the payment.
    /// @param payee The account that called and whose money it was: the payee of the payment.
    /// @param payer The account that received the whole amount: the payer of the payment.
    /// @param asset The ERC-20, or the zero address for the native coin.
    /// @param amount What the payer received, in base units of the asset. Never zero.
    event Refund(
        bytes32 indexed paymentReference, address indexed payee, address indexed payer, address asset, uint256 amount
    );

    /// @notice The reference is zero. Pay with the reference of the quote.
    error ZeroReference();

    /// @notice The amount, or the value sent, is zero.
    error ZeroAmount();

    /// @notice The transaction was mined too late, and nothing was paid.
    /// @param deadline The last second in which it could be paid, since 1970 UTC.
    /// @param time The block's.
    error DeadlinePassed(uint256 deadline, uint256 time);

    /// @notice The payee cannot be paid: it is the zero address, this contract, or the payer.
    /// @dev A payer who is the payee would leave the payee's balance as it was, and nothing would have been paid.
    /// Of a refund it is the account that should get it.
    /// @param payee The payee that was asked for.
    error InvalidPayee(address payee);

    /// @notice The asset is not an ERC-20: it is the zero address, has no code, or answers no balance.
    /// The native coin is paid with `pay`.
    /// @param asset The asset that was asked for.
    error InvalidAsset(address asset);

    /// @notice The payee did not accept the native coin: its code reverted or ran out of gas.
    /// @param payee The payee that refused.
    /// @param amount What was offered, in base units.
    error PayeeRefused(address payee, uint256 amount);

    /// @notice The token did not transfer: it reverted, or returned something else than true or nothing.
    /// Mostly the payer's balance or allowance for this contract is below the amount.
    /// @param asset The token.
    /// @param payer The account that should have paid.
    /// @param amount What should have been transferred, in base units of the token.
    error TransferRefused(address asset, address payer, uint256 amount);

    /// @notice The token said that it transferred, but the payee's balance did not grow by exactly the amount.
    /// Tokens that take a fee or change balances on their own cannot be used here.
    /// @param asset The token.
    /// @param amount What should have arrived, in base units of the token.
    /// @param balanceBefore The payee's balance before the transfer.
    /// @param balanceAfter The payee's balance after the transfer.
    error InexactTransfer(address asset, uint256 amount, uint256 balanceBefore, uint256 balanceAfter);

    /// @notice A token called back for a payment in a token while it was transferring.
    error Reentered();

    /// @notice `payMany` or `payManyOnTime` was called without orders.
    error NoOrders();

    /// @notice The value of the call does not cover the orders in the native coin.
    /// @param left What the orders before left of it, in base units.
    /// @param amount What the next one asks for, in base units.
    error ValueTooSmall(uint256 left, uint256 amount);

    /// @notice The value of the call is more than the orders in the native coin ask for.
    /// @param left What they left of it, in base units.
    error ValueTooLarge(uint256 left);

    /// @notice Pays the whole value of the call to `payee` in the native coin.
    /// @dev The payee gets all the gas that is left (less the 1/64 that the EVM retains), so that contract wallets can
    /// be paid. The price of that: a hostile payee can burn the gas that the payer allowed. It cannot make the payer
    /// pay for its return data, which is never copied.
    /// Reverts with ZeroReference, ZeroAmount, InvalidPayee or PayeeRefused.
    /// @param paymentReference What is paid for. Not zero.
    /// @param payee Who is paid. Not the zero address, this contract or the caller.
    function pay(bytes32 paymentReference, address payee) external payable;

    /// @notice Pays `amount` of `asset` (ERC-20, https://eips.ethereum.org/EIPS/eip-20) from the caller to `payee`.
    /// @dev The caller must have approved this contract for the amount. A token that returns nothing is accepted; one
    /// that returns false is not. The payee's balance must grow by exactly the amount, or the payment reverts.
    /// Reverts with ZeroReference, ZeroAmount, InvalidPayee, InvalidAsset, TransferRefused, InexactTransfer or
    /// Reentered.
    /// @param paymentReference What is paid for. Not zero.
    /// @param payee Who is paid. Not the zero address, this contract or the caller.
    /// @param asset The token. Not the zero address.
    /// @param amount How much, in base units of the token. Not zero.
    function payToken(bytes32 paymentReference, address payee, address asset, uint256 amount) external;

    /// @notice As `pay`, or not at all once the deadline has passed.
    /// @dev A payment that is mined after its quote has ended is money for nothing. Programs should pay by this, with the
    /// end of the quote. Reverts with DeadlinePassed, or as `pay`.
    /// @param paymentReference What is paid for. Not zero.
    /// @param deadlineAndPayee Two in one word, which costs 128 gas less: in the upper 96 bits the last second in which it
    /// can be paid, since 1970 UTC; in the lower 160 bits who is paid. A bare address has a deadline of zero, which has
    /// passed.
    function payOnTime(bytes32 paymentReference, uint256 deadlineAndPayee) external payable;

    /// @notice As `payToken`, or not at all once the deadline has passed.
    /// @dev Reverts with DeadlinePassed, or as `payToken`. The order of the arguments gives a selector that is found first.
    /// @param asset The token. Not the zero address.
    /// @param amount How much, in base units of the token. Not zero.
    /// @param deadlineAndPayee As of `payOnTime`.
    /// @param paymentReference What is paid for. Not zero.
    function payTokenOnTime(address asset, uint256 amount, uint256 deadlineAndPayee, bytes32 paymentReference) external;

    /// @notice As `payToken`, with an allowance that the caller gives by an EIP-2612 permit
    /// (https://eips.ethereum.org/EIPS/eip-2612) in the same transaction.
    /// @dev After the deadline the payment reverts, also where there is an allowance.
    /// The permit is for this contract and exactly the amount. One that the token refuses is not the end: somebody
    /// may have submitted it already, and whether there is an allowance the transfer tells.
    /// Reverts as `payTokenOnTime`.
    /// @param paymentReference What is paid for. Not zero.
    /// @param payee Who is paid. Not the zero address, this contract or the caller.
    /// @param asset The token. Not the zero address.
    /// @param amount How much, in base units of the token. Not zero.
    /// @param deadline The last second of the permit and of the payment, since 1970 UTC.
    /// @param v The permit's signature, as are r and s.
    /// @param r See v.
    /// @param s See v.
    function payWithPermit(
        bytes32 paymentReference,
        address payee,
        address asset,
        uint256 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Makes many payments at once, all or none, in the native coin and in tokens.
    /// @dev The value of the call must be the sum of the orders in the native coin. Each order is one event, in their
    /// order. A payee that refuses, or a token, reverts all of them: leave it out and call again.
    /// Reverts with NoOrders, ValueTooSmall, ValueTooLarge, or as `pay` and `payToken` for the first order that fails.
    /// @param orders What is paid.
    function payMany(Order[] calldata orders) external payable;

    /// @notice As `payMany`, or not at all once the deadline has passed.
    /// @dev Reverts with DeadlinePassed, or as `payMany`.
    /// @param orders What is paid.
    /// @param deadline The last second in which it can be paid, since 1970 UTC.
    function payManyOnTime(Order[] calldata orders, uint256 deadline) external payable;

    /// @notice Gives the whole value of the call back to `payer`, who paid for the reference in the native coin.
    /// @dev The caller is the payee of that payment. The contract does not remember payments: who calls it with another
    /// reference, payer or amount gives its money away all the same, and who calls it twice pays twice.
    /// Reverts with ZeroReference, ZeroAmount, InvalidPayee or PayeeRefused, as `pay` does.
    /// @param paymentReference The reference of the payment. Not zero.
    /// @param payer Who gets it. Not the zero address, this contract or the caller.
    function refund(bytes32 paymentReference, address payer) external payable;

    /// @notice Gives `amount` of `asset` back from the caller to `payer`, who paid for the reference in that token.
    /// @dev As `refund`; the caller must have approved this contract for the amount. Reverts as `payToken` does.
    /// @param paymentReference The reference of the payment. Not zero.
    /// @param payer Who gets it. Not the zero address, this contract or the caller.
    /// @param asset The token. Not the zero address.
    /// @param amount How much, in base units of the token. Not zero.
    function refundToken(bytes32 paymentReference, address payer, address asset, uint256 amount) external;
}
